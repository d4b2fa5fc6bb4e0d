#!/usr/bin/env bash
# A tour of firn in a few seconds: a daemon on a free port over a temporary folder, records in, archived,
# read back with the plan of the read, stopped. Nothing is left behind.
set -euo pipefail
firn=$(cd "$(dirname "${1:?usage: demo/run.sh PATH-OF-FIRN}")" && pwd)/$(basename "$1")
dir=$(mktemp -d)
daemon=
cleanup() {
  status=$?
  if [ -n "$daemon" ]; then kill "$daemon" 2>/dev/null || true; wait "$daemon" 2>/dev/null || true; fi
  rm -rf "$dir"
  exit "$status"
}
trap cleanup EXIT

bold= plain=
if [ -t 1 ]; then bold=$'\033[1m' plain=$'\033[0m'; fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
show() { printf '$ firn %s\n' "$*"; "$firn" "$@"; }

# 200 sensors, 3 days, 43,200 readings: made here, the same in every run.
sample() {
  awk 'BEGIN {
    srand(1); start = 1767225600000            # 2026-01-01T00:00:00Z
    for (i = 0; i < 43200; i++) {
      s = int(rand() * 200)
      printf "{\"sensor\":\"s%03d\",\"timestamp\":%.0f,\"celsius\":%.1f,\"battery\":%d,\"place\":{\"floor\":%d,\"room\":\"%c%d\"}", \
        s, start + i * 6000, 15 + rand() * 10, 100 - int(i / 600), s % 5, 65 + s % 4, s % 17
      if (i % 500 == 0) printf ",\"alarm\":\"battery\""
      print "}"
    }
  }'
}

say "Start a daemon"
"$firn" serve --data "$dir/data" --listen 127.0.0.1:0 --archive-schedule off --log-level warn >"$dir/out" 2>"$dir/err" &
daemon=$!
addr=
while [ -z "$addr" ]; do
  kill -0 "$daemon" 2>/dev/null || { cat "$dir/err" >&2; exit 1; }
  addr=$(sed -n 's|^firn serves \(http://[^ ]*\).*|\1|p' "$dir/out")
  [ -n "$addr" ] || sleep 0.05
done
export FIRN_ADDR=$addr
echo "it listens on $addr"

say "Load a file: every batch is on disk when it is acknowledged"
sample >"$dir/sensors.ndjson"
head -n 1 "$dir/sensors.ndjson"
show import --table sensors --dataset-field sensor "$dir/sensors.ndjson"

say "Read one sensor at once, still hot"
show read --table sensors --dataset s042 --from 2026-01-02T00:00:00Z --limit 2

say "Archive: hot records become Avro block files"
show archive
show stats archive

say "Read the same again, now cold: only the byte ranges of that sensor and day are asked for"
show explain --table sensors --dataset s042 --from 2026-01-02T00:00:00Z --to 2026-01-02T23:59:59.999Z
show read --table sensors --dataset s042 --from 2026-01-02T00:00:00Z --limit 2

say "The same over HTTP, as curl would"
url="$addr/v1/read?table_name=sensors&dataset_id=s042&from=2026-01-02T00:00:00Z&to=2026-01-02T06:00:00Z&limit=1"
echo "GET $url"
if command -v curl >/dev/null; then curl -fsS "$url"; fi

say "What the table has become"
show tables show sensors

say "Import the same file again: nothing is doubled"
rm "$dir/sensors.ndjson.firn-import"
show import --table sensors --dataset-field sensor "$dir/sensors.ndjson"
show tables

say "Stop the daemon"
kill -TERM "$daemon"
wait "$daemon"
daemon=
echo "stopped; the block files are plain Avro:"
(cd "$dir/data/store" && find . -name '*.avro' | sort)
