import assert from "node:assert/strict";
import { test } from "node:test";

import { hierarchies } from "./cgroups.ts";

test("every hierarchy of a hybrid system, with what mounts it again", () => {
  const mounts = `tmpfs /sys/fs/cgroup tmpfs rw,mode=755 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,nodev,noexec,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,xattr,release_agent=/lib/agent,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nosuid 0 0
proc /proc proc rw 0 0
`;
  assert.deepEqual(hierarchies(mounts), [
    { mountPoint: "/sys/fs/cgroup/cpu,cpuacct", controllers: "cpu,cpuacct" },
    { mountPoint: "/sys/fs/cgroup/systemd", controllers: "name=systemd" },
    { mountPoint: "/sys/fs/cgroup/unified", controllers: undefined },
  ]);
});
