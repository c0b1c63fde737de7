# Run once by PostgreSQL's image when its data folder is empty: the one database of the server, STORE, and a user of that
# name with STORE_PASSWORD who owns it and is no administrator.
set -eu
psql --quiet --no-psqlrc -v ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres \
    -v store="$STORE" -v password="$STORE_PASSWORD" <<'SQL'
CREATE ROLE :"store" LOGIN PASSWORD :'password';
CREATE DATABASE :"store" OWNER :"store";
REVOKE ALL ON DATABASE :"store" FROM PUBLIC;
SQL
