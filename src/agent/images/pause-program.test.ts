import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { arch, tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { extract } from "tar-stream";
import { buildPauseImage, hostArchitecture } from "./images.ts";
import { pauseProgram } from "./pause-program.ts";

test(
  "the pause program waits and ends on SIGTERM",
  { skip: arch() !== "x64" && arch() !== "arm64" },
  async () => {
    const dir = await mkdtemp(join(tmpdir(), "pause-"));
    const path = join(dir, "pause");
    await writeFile(path, pauseProgram(hostArchitecture()), { mode: 0o755 });
    const child = spawn(path, { stdio: "ignore" });
    await new Promise((resolve) => child.on("spawn", resolve));
    assert.equal(child.exitCode, null);
    const ended = new Promise<[number | null, string | null]>((resolve) => {
      child.on("exit", (code, signal) => resolve([code, signal]));
    });
    child.kill("SIGTERM");
    const [code, signal] = await ended;
    // Before its first instruction the signal ends it the kernel's way.
    assert.ok(code === 0 || signal === "SIGTERM");
    await rm(dir, { recursive: true });
  },
);

test("both architectures are valid executables of the right machine", () => {
  for (const [architecture, machine] of [
    ["amd64", 62],
    ["arm64", 183],
  ] as const) {
    const program = Buffer.from(pauseProgram(architecture));
    assert.equal(program.subarray(0, 4).toString("latin1"), "\x7fELF");
    assert.equal(program.readUInt16LE(18), machine);
    assert.equal(program.readBigUInt64LE(96), BigInt(program.length));
  }
});

test("the archive is reproducible and names its image", async () => {
  const archive = await buildPauseImage("amd64");
  assert.ok(archive.equals(await buildPauseImage("amd64")));
  const files = new Map<string, Buffer>();
  const reader = extract();
  reader.end(archive);
  for await (const entry of reader) {
    const chunks: Buffer[] = [];
    for await (const chunk of entry as AsyncIterable<Buffer>) chunks.push(chunk);
    files.set(entry.header.name, Buffer.concat(chunks));
  }
  const manifest = JSON.parse(files.get("manifest.json")!.toString()) as {
    RepoTags: string[];
    Config: string;
    Layers: string[];
  }[];
  assert.deepEqual(manifest[0]?.RepoTags, ["trivet.local/pause:0.1"]);
  assert.ok(files.has(manifest[0]!.Config) && files.has(manifest[0]!.Layers[0]!));
});
