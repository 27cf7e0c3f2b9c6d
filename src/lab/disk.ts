/**
 * A host's disk of a limited size: an ext4 image in a file, mounted where the host's /var/lib is. Full means
 * that a file has taken all the room, which is given back when that file goes.
 */
import { existsSync } from "node:fs";
import { mkdir, open, rm, statfs } from "node:fs/promises";
import { join } from "node:path";

import { execute, must } from "./processes.ts";
import type { HostState, LabState } from "./state.ts";

const fillerName = "trivet-lab-filler";

/** Makes the image where it is missing, and mounts it at this path of the machine unless it is. */
export async function mountDisk(lab: LabState, host: HostState, path: string): Promise<void> {
  if (lab.diskSizeMiB === undefined || (await isMounted(path))) return;
  const image = join(lab.dir, "disks", `${host.name}.img`);
  if (!existsSync(image)) {
    await mkdir(join(lab.dir, "disks"), { recursive: true });
    await must("truncate", ["-s", `${lab.diskSizeMiB}M`, image]);
    // Nothing is kept back for root, as whom all of the lab's programs run.
    await must("mkfs.ext4", ["-q", "-m", "0", image]);
  }
  await must("mount", ["-o", "loop", image, path]);
}

export async function unmountDisk(path: string): Promise<void> {
  if (await isMounted(path)) await must("umount", [path]);
}

/** Takes all the room there is, to the last block. */
export async function fillDisk(lab: LabState, path: string): Promise<void> {
  mustBeLimited(lab);
  const file = join(path, fillerName);
  const { bavail, bsize } = await statfs(path);
  const rest = 4 << 20;
  // Reserved, not written: nearly all of it, at once.
  if (bavail * bsize > rest) await execute("fallocate", ["-l", String(bavail * bsize - rest), file]);
  const filler = await open(file, "a");
  try {
    // Large pieces first, the last blocks by small ones.
    for (const bytes of [1 << 20, 1 << 16, 1 << 12]) {
      const zeros = Buffer.alloc(bytes);
      for (let writing = true; writing;) writing = await append(filler, zeros);
    }
    await filler.sync().catch((error: unknown) => {
      if (!isFull(error)) throw error;
    });
  } finally {
    await filler.close();
  }
}

export async function freeDisk(lab: LabState, path: string): Promise<void> {
  mustBeLimited(lab);
  await rm(join(path, fillerName), { force: true });
}

async function append(file: Awaited<ReturnType<typeof open>>, bytes: Buffer): Promise<boolean> {
  try {
    return (await file.write(bytes)).bytesWritten === bytes.length;
  } catch (error) {
    if (!isFull(error)) throw error;
    return false;
  }
}

function isFull(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOSPC";
}

function mustBeLimited(lab: LabState): void {
  if (lab.diskSizeMiB === undefined)
    throw new Error(
      "the lab's nodes have the machine's own disk: make the lab with `lab up --disk-size 1024` (MiB)",
    );
}

async function isMounted(path: string): Promise<boolean> {
  return (await execute("mountpoint", ["-q", path])).code === 0;
}
