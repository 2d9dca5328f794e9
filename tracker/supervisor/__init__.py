"""The parent process of ``tracker serve``: its children, and the thread that migrates and supervises the database."""
