#!/bin/sh
# Prints the transcript that docs/survives.svg shows: three nodes, the leader killed, the cluster goes on.
# Runs a lab of its own and takes it down again. As root, from the root of the repository:
#   scripts/survival-transcript.sh | node_modules/.bin/node scripts/terminal-svg.ts "three nodes, one killed" > docs/survives.svg
set -eu
trivet=$(pwd)/trivet
export KUBECONFIG=/tmp/trivet-survival.kubeconfig

# show TITLE COMMAND...: the command as a user would type it, and what it prints.
show() {
  echo "\$ $1"
  shift
  "$@" 2>/dev/null || true
  echo
}

trap '"$trivet" lab down >/dev/null 2>&1; rm -f "$KUBECONFIG"' EXIT
cp "$("$trivet" lab up --nodes 3 --format json 2>/dev/null | tail -n 1 | sed 's/.*"kubeconfig":"\([^"]*\)".*/\1/')" "$KUBECONFIG"
show "kubectl get nodes" kubectl get nodes
leader=$("$trivet" lab exec n1 -- "$trivet" status --format json | sed -n 's/.*"leader": "\(.*\)".*/\1/p')
other=n1
[ "$leader" = n1 ] && other=n2
echo "# $leader leads: kill -9 of everything of it"
show "sudo ./trivet lab kill $leader" "$trivet" lab kill "$leader"
server=$("$trivet" lab exec "$other" -- "$trivet" config | sed -n 's/ *server: //p')
sed -i "s#server: .*#server: $server#" "$KUBECONFIG"
echo "# writes go on through the others"
show "kubectl create configmap still-here" kubectl create configmap still-here
sleep 20
echo "# 20 seconds later"
show "kubectl get nodes" kubectl get nodes
show "sudo ./trivet status" "$trivet" lab exec "$other" -- "$trivet" status
