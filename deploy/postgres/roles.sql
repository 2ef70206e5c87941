-- Two roles and a database; run once, as a superuser. Passwords are read from files, see compose.yaml.
--
-- rapport_owner owns the tables: `rapport init` and `rapport migrate` sign in as it. rapport is the running server's:
-- it owns nothing, so the row-level security of every table binds it.

\set ON_ERROR_STOP on
\set owner_password `cat /run/secrets/postgres_owner_password`
\set server_password `cat /run/secrets/postgres_server_password`

CREATE ROLE rapport_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE rapport LOGIN PASSWORD :'server_password';
CREATE DATABASE rapport OWNER rapport_owner TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8';
REVOKE ALL ON DATABASE rapport FROM PUBLIC;
GRANT CONNECT ON DATABASE rapport TO rapport;
