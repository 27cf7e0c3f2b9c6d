import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { execFile, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { MemoryBackend } from "#base/memory-backend.ts";
import { createAuthority, issue } from "#cluster/certificates.ts";
import type { EtcdApi } from "./server.ts";
import { startEtcdApi } from "./server.ts";

const hasEtcdctl = spawnSync("etcdctl", ["version"], { stdio: "ignore" }).status === 0;
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

describe(
  "the etcd API, by etcdctl",
  { skip: hasEtcdctl ? false : "needs etcdctl (Debian's etcd-client)" },
  () => {
    const directory = mkdtempSync("/tmp/trivet-etcd-");
    let server: EtcdApi;
    let flags: string[];

    before(async () => {
      const authority = await createAuthority("test", 1);
      const hosts = ["127.0.0.1"];
      const leaf = await issue(authority, {
        commonName: "etcd",
        hosts,
        usages: ["server", "client"],
        validDays: 1,
      });
      server = await startEtcdApi({
        backend: new MemoryBackend(),
        host: "127.0.0.1",
        port: 0,
        tls: { ca: authority.certificate, cert: leaf.certificate, key: leaf.key },
        logger: silent,
      });
      const files = { cacert: authority.certificate, cert: leaf.certificate, key: leaf.key };
      flags = [`--endpoints=https://127.0.0.1:${server.port}`];
      for (const [name, content] of Object.entries(files)) {
        writeFileSync(join(directory, name), content);
        flags.push(`--${name}=${join(directory, name)}`);
      }
    });
    after(async () => {
      await server.close();
      rmSync(directory, { recursive: true });
    });

    async function etcdctl(...args: string[]): Promise<string> {
      const { stdout } = await promisify(execFile)("etcdctl", [...flags, ...args], {
        env: { ...process.env, ETCDCTL_API: "3" },
        timeout: 10_000,
      });
      return stdout;
    }

    test("put, get, ranges, del", async () => {
      assert.equal(await etcdctl("put", "a", "1"), "OK\n");
      await etcdctl("put", "b", "2");
      await etcdctl("put", "a", "3");
      assert.equal(await etcdctl("get", "a"), "a\n3\n");
      assert.equal(await etcdctl("get", "--prefix", ""), "a\n3\nb\n2\n");
      assert.equal(await etcdctl("get", "--prefix", "", "--order=DESCEND", "--limit=1"), "b\n2\n");
      assert.equal(await etcdctl("get", "a", "--rev=2"), "a\n1\n");
      assert.match(await etcdctl("get", "a", "-w", "json"), /"version":2/);
      assert.equal(await etcdctl("del", "--prev-kv", "b"), "1\nb\n2\n");
    });

    test("a transaction compares and chooses", async () => {
      await etcdctl("put", "t", "old");
      const output = await new Promise<string>((resolve) => {
        const child = spawn("etcdctl", [...flags, "txn"], { env: { ...process.env, ETCDCTL_API: "3" } });
        let text = "";
        child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
        child.once("close", () => resolve(text));
        child.stdin.end('value("t") = "old"\n\nput t new\n\nput t wrong\n\n');
      });
      assert.match(output, /^SUCCESS/);
      assert.equal(await etcdctl("get", "t"), "t\nnew\n");
    });

    test("a watch delivers from a revision on", async () => {
      const child = spawn("etcdctl", [...flags, "watch", "w", "--rev=1"], {
        env: { ...process.env, ETCDCTL_API: "3" },
      });
      try {
        const seen = new Promise<string>((resolve) => {
          let text = "";
          child.stdout.on("data", (chunk: Buffer) => {
            text += chunk.toString();
            if (text.includes("DELETE")) resolve(text);
          });
        });
        await etcdctl("put", "w", "1");
        await etcdctl("del", "w");
        assert.match(await seen, /^PUT\nw\n1\nDELETE\nw\n/);
      } finally {
        child.kill();
      }
    });

    test("compaction ends reads of the past; what is not served says so", async () => {
      await etcdctl("put", "c", "1");
      const { header } = JSON.parse(await etcdctl("put", "c", "2", "-w", "json")) as {
        header: { revision: number };
      };
      await etcdctl("compaction", String(header.revision));
      await assert.rejects(etcdctl("get", "c", "--rev=2"), /required revision has been compacted/);
      await assert.rejects(etcdctl("lease", "grant", "10"), /Unimplemented/);
    });
  },
);
