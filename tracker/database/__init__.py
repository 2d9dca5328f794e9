"""PostgreSQL: the embedded server, migrations, connections that take a role, and the SQL files."""
