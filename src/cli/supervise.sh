#!/bin/sh
# Keeps the node of a data directory running where no systemd does: one that ends by itself is started again after
# 1 s, after 2, 4, 8, ... up to 60 s as long as it ends within a minute. DATA/restarts says how often and when.
# Ends with the node when it is asked to (SIGTERM goes on to the node), and when the node was asked to itself.
#
#     supervise.sh LAUNCHER DATA
set -u
launcher=$1
data=$2
child=
stopping=
trap 'stopping=1; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null' TERM INT HUP

# The exit code of $child. A signal ends the waiting, not the child.
await() {
  wait "$child"
  code=$?
  while kill -0 "$child" 2>/dev/null; do
    wait "$child"
    code=$?
  done
  child=
}

uptime_seconds() {
  read -r up _ </proc/uptime
  up=${up%.*}
}

ends=0
pause=1
while [ -z "$stopping" ]; do
  uptime_seconds
  began=$up
  "$launcher" serve --data-dir "$data" &
  child=$!
  await
  [ -z "$stopping" ] && [ "$code" != 0 ] || break
  uptime_seconds
  if [ $((up - began)) -ge 60 ]; then
    ends=0
    pause=1
  fi
  ends=$((ends + 1))
  echo "supervisor: the node ended (exit code $code), $ends in a row; it is started again in $pause s"
  # A full disk must not keep the node from being started again.
  echo "{\"ends\":$ends,\"code\":$code,\"atSeconds\":$(date +%s),\"pauseSeconds\":$pause}" >"$data/restarts.new" &&
    mv "$data/restarts.new" "$data/restarts"
  sleep "$pause" &
  child=$!
  await
  pause=$((pause * 2))
  [ "$pause" -le 60 ] || pause=60
done
rm -f "$data/restarts"
