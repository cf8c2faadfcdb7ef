# Runs in a node: $0 is the recorder. Loads a PostgreSQL on plain ext4, kills it with all its processes, starts it again, prints
# the milliseconds from the start to the first commit.
set -e
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
data=/srv/pg/data
sock=/tmp/plain-pg
as_postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups env HOME=/tmp "$@"; }
mkdir -p $sock && chown postgres $sock
if [ ! -e $data/PG_VERSION ]; then
    mkdir -p $data && chown postgres $data && chmod 700 $data
    as_postgres "$bin/initdb" -k -D $data -A trust >/dev/null
fi
start() { as_postgres "$bin/pg_ctl" -s -w -t 120 -D $data -o "-k $sock -h 127.0.0.1" -l /tmp/plain-pg.log start; }
start
rm -f /tmp/plain.journal
"$0" run --host 127.0.0.1 --journal /tmp/plain.journal --seconds 3 >/dev/null
pid=$(head -n 1 $data/postmaster.pid)
kill -9 -- $(ps -o pid= --ppid "$pid") "$pid" 2>/dev/null || true
sleep 0.5
began=$(date +%s%N)
start
as_postgres "$bin/psql" -qAt -h $sock -d postgres -c 'INSERT INTO recorder (n) VALUES (-1)'
ended=$(date +%s%N)
as_postgres "$bin/psql" -qAt -h $sock -d postgres -c 'DELETE FROM recorder WHERE n = -1'
as_postgres "$bin/pg_ctl" -s -w -t 120 -D $data -m fast stop
echo $(((ended - began) / 1000000))
