"""The subcommands of ``tracker``, one module each."""
