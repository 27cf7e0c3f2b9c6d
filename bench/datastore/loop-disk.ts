/**
 * A disk of one's own: an ext4 image in a file, mounted where it is wanted. What the kernel counts of such a disk is all
 * that was written to it, the file system's journal included, and nothing else. (Linux's count per process is no measure:
 * where the page cache has large folios, it adds a whole one for each change of a few bytes.) Needs root.
 */
import { execFileSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";

const sectorBytes = 512;

/** Nothing is left for the file system to initialize later. */
export function mountOwnDisk(image: string, directory: string, sizeMiB: number): void {
  execFileSync("truncate", ["-s", `${sizeMiB}M`, image]);
  execFileSync("mkfs.ext4", ["-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image]);
  execFileSync("mount", ["-o", "loop", image, directory]);
}

/** Also while it is in use: it goes once nobody uses it. */
export function unmountOwnDisk(directory: string): void {
  execFileSync("umount", ["--lazy", directory]);
}

/** What the page cache holds back for this disk is written. */
export function flushDisk(path: string): void {
  execFileSync("sync", ["--file-system", path]);
}

/** Bytes that the disk on which this path is has taken since it was mounted. */
export function diskWrittenBytes(path: string): number {
  const { dev } = statSync(path);
  const major = (dev >> 8) & 0xfff;
  const minor = (dev & 0xff) | ((dev >> 12) & 0xfff00);
  const [, , , , , , sectors] = readFileSync(`/sys/dev/block/${major}:${minor}/stat`, "utf8")
    .trim()
    .split(/\s+/);
  return Number(sectors) * sectorBytes;
}
