import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { MemoryBackend } from "#base/memory-backend.ts";
import { createAuthority, issue } from "#cluster/certificates.ts";
import { fakeBackup, hasEtcdctl, serveApi } from "./etcd-api.fixture.ts";
import type { ServedApi } from "./etcd-api.fixture.ts";

const skip = hasEtcdctl ? false : "needs etcdctl (Debian's etcd-client)";
const environment = { ...process.env, ETCDCTL_API: "3" };

describe("the etcd API, by etcdctl", { skip }, () => {
  let api: ServedApi;
  const etcdctl = (...args: string[]): Promise<string> => api.etcdctl(...args);

  before(async () => {
    api = await serveApi(new MemoryBackend(), await tlsFor("127.0.0.1"));
  });
  after(() => api.close());

  /** Runs etcdctl with an input, or until its output matches. */
  function run(args: string[], input: string | undefined, until?: RegExp): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = spawn("etcdctl", [...api.flags, ...args], { env: environment });
      let text = "";
      const timer = setTimeout(() => {
        child.kill();
        reject(new Error(`etcdctl ${args.join(" ")} said only: ${text}`));
      }, 10_000);
      const note = (chunk: Buffer): void => {
        text += chunk.toString();
        if (until?.test(text) === true) child.kill();
      };
      child.stdout.on("data", note);
      child.stderr.on("data", note);
      child.once("close", () => {
        clearTimeout(timer);
        resolve(text);
      });
      if (input !== undefined) child.stdin.write(input);
      if (until === undefined) child.stdin.end();
    });
  }

  test("put, get, ranges, del", async () => {
    assert.equal(await etcdctl("put", "a", "1"), "OK\n");
    await etcdctl("put", "b", "2");
    await etcdctl("put", "a", "3");
    assert.equal(await etcdctl("get", "a"), "a\n3\n");
    assert.equal(await etcdctl("get", "--prefix", ""), "a\n3\nb\n2\n");
    assert.equal(await etcdctl("get", "--prefix", "", "--order=DESCEND", "--limit=1"), "b\n2\n");
    assert.equal(await etcdctl("get", "a", "--rev=2"), "a\n1\n");
    assert.equal(await etcdctl("get", "--prefix", "", "--sort-by=MODIFY", "--order=ASCEND"), "b\n2\na\n3\n");
    assert.equal(await etcdctl("get", "--prefix", "", "--keys-only"), "a\n\nb\n\n");
    assert.match(
      await etcdctl("get", "--prefix", "", "--write-out=fields", "--limit=1"),
      /"More" : true\n"Count" : 2/,
    );
    assert.match(await etcdctl("get", "a", "-w", "json", "--consistency=s"), /"version":2/);
    assert.equal(await etcdctl("put", "--prev-kv", "b", "4"), "OK\nb\n2\n");
    assert.equal(await etcdctl("put", "--ignore-lease", "b", "5"), "OK\n");
    await assert.rejects(etcdctl("put", "--ignore-lease", "none", "5"), /etcdserver: key not found/);
    assert.equal(await etcdctl("del", "--prev-kv", "b"), "1\nb\n5\n");
    await assert.rejects(etcdctl("get", "a", "--rev=999"), /required revision is a future revision/);
  });

  test("a transaction compares and chooses; one that changes a key twice is refused", async () => {
    await etcdctl("put", "t", "old");
    assert.match(await run(["txn"], 'value("t") = "old"\n\nput t new\nget t\n\nput t wrong\n\n'), /^SUCCESS/);
    assert.equal(await etcdctl("get", "t"), "t\nnew\n");
    assert.match(await run(["txn"], 'mod("t") = "1"\n\nput t wrong\n\ndel t\n\n'), /^FAILURE\n\n1\n/);
    assert.match(await run(["txn"], "\nput t 1\nput t 2\n\n\n"), /duplicate key given in txn request/);
  });

  test("a watch shows the past and what comes", async () => {
    const seen = run(["watch", "w", "--rev=1", "--prev-kv"], undefined, /DELETE/);
    await etcdctl("put", "w", "1");
    await etcdctl("del", "w");
    assert.match(await seen, /^PUT\nw\n1\nDELETE\nw\n1\nw\n/);
    assert.match(
      await run(["watch", "-i"], "watch p\nprogress\n", /progress notify/),
      /progress notify: \d+/,
    );
  });

  test("leases: their keys go with them", async () => {
    const granted = await etcdctl("lease", "grant", "100");
    const id = /lease ([0-9a-f]+) granted with TTL\(100s\)/.exec(granted)?.[1] ?? "";
    await etcdctl("put", `--lease=${id}`, "leased", "x");
    assert.match(
      await etcdctl("lease", "timetolive", "--keys", id),
      new RegExp(
        `lease ${id} granted with TTL\\(100s\\), remaining\\(\\d+s\\), attached keys\\(\\[leased\\]\\)`,
      ),
    );
    assert.match(await etcdctl("lease", "list"), new RegExp(id));
    assert.match(await etcdctl("lease", "keep-alive", "--once", id), /keepalived with TTL\(100\)/);
    assert.match(await etcdctl("lease", "revoke", id), /revoked/);
    assert.equal(await etcdctl("get", "leased"), "");
    assert.match(await etcdctl("lease", "timetolive", id), /already expired/);
    await assert.rejects(etcdctl("lease", "revoke", id), /requested lease not found/);
    await assert.rejects(etcdctl("put", `--lease=${id}`, "leased", "x"), /requested lease not found/);
    assert.match(await run(["lock", "l", "echo", "held"], undefined), /held/);
  });

  test("compaction ends reads and watches of the past", async () => {
    await etcdctl("put", "c", "1");
    const put = JSON.parse(await etcdctl("put", "c", "2", "-w", "json")) as { header: { revision: number } };
    await etcdctl("compaction", "--physical", String(put.header.revision));
    await assert.rejects(etcdctl("get", "c", "--rev=2"), /required revision has been compacted/);
    await assert.rejects(etcdctl("compaction", "2"), /required revision has been compacted/);
    assert.match(await run(["watch", "c", "--rev=2"], undefined), /required revision has been compacted/);
  });

  test("members, health, status, hash, leader", async () => {
    assert.match(await etcdctl("member", "list"), /^1, started, memory/);
    await assert.rejects(etcdctl("member", "remove", "1"), /members are managed by Trivet itself/);
    assert.match(await etcdctl("endpoint", "status", "-w", "json"), /"leader":1,/);
    assert.match(await run(["endpoint", "health"], undefined), /is healthy/);
    assert.match(await etcdctl("endpoint", "hashkv"), /, \d+\n/);
    assert.equal(await etcdctl("alarm", "list"), "");
    await etcdctl("defrag");
    assert.match(await etcdctl("move-leader", "1"), /Leadership transferred/);
    assert.deepEqual(api.moved, ["0000000000000001"]);
    await assert.rejects(etcdctl("move-leader", "7"), /bad leader transferee/);
    await assert.rejects(etcdctl("user", "list"), /users and roles are not served/);
  });

  test("a snapshot is the backup, whole pages of it, and a checksum", async () => {
    const file = join(api.directory, "saved");
    await etcdctl("snapshot", "save", file);
    const saved = readFileSync(file);
    assert.equal(saved.length % 512, 32);
    assert.ok(saved.subarray(0, fakeBackup.length).equals(fakeBackup));
    const sum = createHash("sha256").update(saved.subarray(0, -32)).digest();
    assert.ok(saved.subarray(-32).equals(sum));
  });

  test("a client without a certificate of the authority gets nowhere", async () => {
    const without = api.flags.filter((flag) => !flag.startsWith("--cert=") && !flag.startsWith("--key="));
    const child = spawn("etcdctl", [...without, "--dial-timeout=1s", "--command-timeout=1s", "get", "a"], {
      env: environment,
    });
    assert.notEqual(await new Promise((resolve) => child.once("close", resolve)), 0);
  });

  test("a request above 1.5 MiB is refused in words", async () => {
    const put = run(["put", "large"], "x".repeat(1_600_000));
    assert.match(await put, /request is too large/);
  });
});

async function tlsFor(host: string): Promise<ServedApi["tls"]> {
  const authority = await createAuthority("test", 1);
  const leaf = await issue(authority, {
    commonName: "etcd",
    hosts: [host],
    usages: ["server", "client"],
    validDays: 1,
  });
  return { ca: authority.certificate, cert: leaf.certificate, key: leaf.key };
}
