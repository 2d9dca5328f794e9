-- Who may log in, run once by the PostgreSQL image when its volume is new (psql, as the superuser, in database tracker).
-- Passwords are read from the secret files, never from the environment.
--
-- Every process gets the least that it needs. The roles behind the logins are those of sql/migrations/0003_create_roles.sql and
-- 0008_secure_append_events.sql, which find them made; they are made here because a login that is not allowed to create roles owns the
-- schema.

\set ON_ERROR_STOP on
\set owner_password `cat /run/secrets/tracker_owner_password`
\set web_password `cat /run/secrets/tracker_web_password`
\set projector_password `cat /run/secrets/tracker_projector_password`
\set grafana_password `cat /run/secrets/grafana_postgres_password`

CREATE ROLE tracker_service NOLOGIN;
CREATE ROLE tracker_projector NOLOGIN;
CREATE ROLE tracker_reader NOLOGIN;
-- Owns the functions that write the log. Of the logins only the owner of the schema is a member, which gives the functions to it.
CREATE ROLE tracker_writer NOLOGIN;

-- Migrates; nothing else logs in as the owner, so nothing that runs for long could switch off what keeps the log append-only.
CREATE ROLE tracker_owner LOGIN PASSWORD :'owner_password'
IN ROLE tracker_service, tracker_projector, tracker_reader, tracker_writer;
ALTER DATABASE tracker OWNER TO tracker_owner;

-- Takes callbacks and answers questions.
CREATE ROLE tracker_web LOGIN PASSWORD :'web_password' IN ROLE tracker_service;

-- Keeps the projections.
CREATE ROLE tracker_projections LOGIN PASSWORD :'projector_password' IN ROLE tracker_projector;

-- Looks. A query of a dashboard that takes this long would be of no use any more, and must not hold up the others.
CREATE ROLE grafana LOGIN PASSWORD :'grafana_password' CONNECTION LIMIT 20 IN ROLE tracker_reader;
ALTER ROLE grafana SET statement_timeout = '30s';
ALTER ROLE grafana SET default_transaction_read_only = on;

-- Nobody but these comes in.
REVOKE ALL ON DATABASE tracker FROM PUBLIC;
GRANT CONNECT ON DATABASE tracker TO tracker_owner, tracker_web, tracker_projections, grafana;
