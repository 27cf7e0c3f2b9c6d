/** The content of the demo image: busybox with its applets, and a web server that shows its pod's name. */
import type { LayerEntry } from "./docker-archive.ts";

export function demoEntries(busybox: Uint8Array, applets: readonly string[]): LayerEntry[] {
  return [
    { path: "bin", type: "directory" },
    { path: "bin/busybox", type: "file", mode: 0o755, data: busybox },
    ...applets.map((name): LayerEntry => ({ path: `bin/${name}`, type: "symlink", linkTarget: "busybox" })),
    { path: "bin/demo", type: "file", mode: 0o755, data: script },
    ...["dev", "etc", "proc", "root", "sys", "usr", "usr/bin", "var", "www", "www/cgi-bin"].map(
      (path): LayerEntry => ({ path, type: "directory" }),
    ),
    { path: "tmp", type: "directory", mode: 0o1777 },
    { path: "usr/bin/env", type: "symlink", linkTarget: "/bin/busybox" },
    {
      path: "etc/passwd",
      type: "file",
      data: "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    },
    { path: "etc/group", type: "file", data: "root:x:0:\nnobody:x:65534:\n" },
  ];
}

/** Writes the page to a place that also a read-only root file system with an emptyDir at /tmp has. */
const script = `#!/bin/sh
mkdir -p /tmp/www && cd /tmp/www || exit 1
cat > index.html <<PAGE
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Trivet demo</title>
<style>
body { font: 1.25rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 4rem auto; padding: 0 1rem }
code { background: #8882; padding: .1em .4em; border-radius: .3em }
</style>
<h1>It stands.</h1>
<p>This page comes from the pod <code>$HOSTNAME</code>.</p>
</html>
PAGE
echo ok > healthz
# The first process of a container has no default handling of signals: without this a stop takes the whole grace period.
httpd -f -p "\${PORT:-8080}" -h /tmp/www &
trap 'kill $!' TERM INT
wait $!
`;
