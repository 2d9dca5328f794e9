"""The parent process of ``tracker serve``: its children, and the thread that keeps the database running."""
