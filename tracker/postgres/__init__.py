"""Access to PostgreSQL: roles, connections, SQL files, migrations, and the embedded server."""
