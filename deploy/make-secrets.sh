#!/bin/sh
# Make the secrets that docker-compose.yml mounts, one file each, in the directory `secrets` beside it. What is there stays as
# it is, so this can be run again. secrets/README.md says what each is for.
#
# Usage: sh deploy/make-secrets.sh < file-with-the-auth-token
#        TWILIO_AUTH_TOKEN=... sh deploy/make-secrets.sh
set -eu

directory=$(dirname "$0")/../secrets
umask 077
mkdir -p "$directory"
# The directory keeps other users of this machine out. The files themselves are readable, because in a container they keep
# their mode and owner while each service runs under an id of its own.
chmod 700 "$directory"

random() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

# keep NAME: standard input becomes the secret NAME, unless there is one already.
keep() {
    if [ -s "$directory/$1" ]; then
        return
    fi
    cat > "$directory/$1.new"
    chmod 444 "$directory/$1.new"
    mv "$directory/$1.new" "$directory/$1"
    echo "made secrets/$1" >&2
}

url() {
    printf 'postgresql://%s:%s@postgres:5432/tracker' "$1" "$(cat "$directory/$2")"
}

for name in postgres_password tracker_owner_password tracker_web_password tracker_projector_password \
    grafana_postgres_password grafana_admin_password tracker_api_token; do
    random | keep "$name"
done
url tracker_owner tracker_owner_password | keep migrate_database_url
url tracker_web tracker_web_password | keep tracker_database_url
url tracker_projections tracker_projector_password | keep projector_database_url

if [ ! -s "$directory/twilio_auth_token" ]; then
    if [ -z "${TWILIO_AUTH_TOKEN:-}" ]; then
        if [ -t 0 ]; then
            printf 'Auth token of the Twilio account (console.twilio.com), not shown while you type: ' >&2
            # The terminal shows what is typed again, however this ends.
            trap 'stty echo' EXIT
            trap 'exit 130' INT TERM
            stty -echo
        fi
        read -r TWILIO_AUTH_TOKEN || true
        [ ! -t 0 ] || echo >&2
    fi
    if [ -z "${TWILIO_AUTH_TOKEN:-}" ]; then
        echo "No auth token was given: write it into secrets/twilio_auth_token." >&2
        exit 1
    fi
    printf '%s' "$TWILIO_AUTH_TOKEN" | keep twilio_auth_token
fi
