/**
 * The node agent with a real containerd in a scratch directory: pods run, report, are reached and end.
 * Needs root, containerd, runc, the CNI plugins and a static busybox; leaves nothing behind.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { request as httpsRequest } from "node:https";
import type { Socket } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import "reflect-metadata";
import { BasicConstraintsExtension, X509CertificateGenerator } from "@peculiar/x509";
import { WebSocket } from "ws";
import type { Logger } from "#base/ports.ts";
import { startAgent } from "#agent/agent.ts";
import type { Agent } from "#agent/agent.ts";
import { Cgroups } from "#agent/cgroups.ts";
import { startContainerd } from "#agent/containerd.ts";
import type { Containerd } from "#agent/containerd.ts";
import { RuntimeClient } from "#agent/cri/runtime-client.ts";
import {
  buildDemoImage,
  demoImageName,
  ensurePauseImage,
  importArchive,
  pauseImageName,
} from "#agent/images/images.ts";
import { MemoryClient } from "#agent/memory-client.test-support.ts";
import { configMaps, nodes, pods, secrets } from "#agent/types.ts";
import type { Pod } from "#agent/types.ts";
import { SpdyConnection } from "#agent/stream/spdy-client.ts";
import { unmountBelow } from "#agent/volumes/mounts.ts";
import { webSocketFrames } from "./websocket-frames.ts";

const ready = available();

describe("the agent runs pods", { skip: ready === true ? false : ready }, () => {
  let dir: string;
  let containerd: Containerd;
  let agent: Agent;
  let client: MemoryClient;
  let certificates: Certificates;
  const bridge = `tva${process.pid % 100_000}`;
  const cgroupParent = `/trivet-test-${process.pid}`;

  before(async () => {
    dir = await mkdtemp("/tmp/trivet-agent-");
    const cni = join(dir, "cni");
    await mkdir(cni);
    await writeFile(join(cni, "10-bridge.conflist"), JSON.stringify(cniConfig(bridge, join(dir, "ipam"))));
    certificates = await makeCertificates();
    containerd = await startContainerd({
      dir: join(dir, "containerd"),
      socket: join(dir, "c.sock"),
      sandboxImage: pauseImageName,
      cniConfDir: cni,
      logger: quiet,
    });
    await ensurePauseImage(containerd.socket);
    await importArchive(containerd.socket, await buildDemoImage());
    client = new MemoryClient();
    agent = await launch();
    await eventually("node ready", async () => {
      const node = await client.get(nodes, undefined, "node-a");
      return (node["status"] as { conditions?: { type: string; status: string }[] }).conditions?.some(
        (each) => each.type === "Ready" && each.status === "True",
      );
    });
  });

  after(async () => {
    await agent?.close();
    if (containerd) {
      await removeAllPods(containerd.socket);
      await containerd.stop();
    }
    await new Cgroups(cgroupParent).removeAll();
    await unmountBelow(dir);
    await rm(dir, { recursive: true, force: true });
    try {
      execFileSync("ip", ["link", "delete", bridge], { stdio: "ignore" });
    } catch {
      // The bridge was never made.
    }
  });

  function launch(): Promise<Agent> {
    return startAgent({
      client,
      nodeName: "node-a",
      nodeIPs: ["127.0.0.1"],
      containerdSocket: containerd.socket,
      dataDir: join(dir, "agent"),
      logDir: join(dir, "logs"),
      cgroupParent,
      logger: quiet,
      leaseDurationSeconds: 12,
      leaseRenewMs: 4000,
      clusterDns: ["10.43.0.10"],
      clusterDomain: "cluster.local",
      serving: {
        port: 0,
        host: "127.0.0.1",
        cert: certificates.cert,
        key: certificates.key,
        clientCa: certificates.cert,
      },
    });
  }

  async function run(name: string, spec: Partial<Pod["spec"]>, annotations = {}): Promise<Pod> {
    return client.create<Pod>(pods, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "default", annotations },
      spec: {
        nodeName: "node-a",
        restartPolicy: "Always",
        terminationGracePeriodSeconds: 2,
        containers: [],
        ...spec,
      },
      status: { phase: "Pending" },
    });
  }

  async function untilPod(
    name: string,
    what: string,
    check: (pod: Pod) => boolean | undefined,
    limitMs = 20_000,
  ): Promise<Pod> {
    let last: Pod | undefined;
    await eventually(
      `pod ${name}: ${what}`,
      async () => {
        last = await client.get<Pod>(pods, "default", name);
        return check(last);
      },
      limitMs,
      () => JSON.stringify(last?.status, null, 1),
    );
    return last!;
  }

  async function remove(name: string): Promise<void> {
    await client.delete(pods, "default", name);
    await eventually(`pod ${name} is gone`, async () =>
      client.get(pods, "default", name).then(
        () => false,
        () => true,
      ),
    );
  }

  async function get(path: string): Promise<{ status: number; body: string }> {
    return new Promise((resolve, reject) => {
      const request = httpsRequest(
        { host: "127.0.0.1", port: agent.port, path, ...clientTls(certificates) },
        (response) => {
          let body = "";
          response.on("data", (chunk: Buffer) => (body += chunk.toString()));
          response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
        },
      );
      request.on("error", reject);
      request.end();
    });
  }

  test("a web pod becomes ready, serves, logs, and ends", async () => {
    await run("web", {
      containers: [
        {
          name: "web",
          image: demoImageName,
          imagePullPolicy: "IfNotPresent",
          readinessProbe: { httpGet: { path: "/healthz", port: 8080 }, periodSeconds: 1 },
          resources: { requests: { cpu: "50m", memory: "16Mi" }, limits: { cpu: "200m", memory: "64Mi" } },
        },
      ],
    });
    const pod = await untilPod("web", "ready", isReady);
    assert.equal(pod.status?.phase, "Running");
    assert.equal(pod.status?.qosClass, "Burstable");
    const page = await (await fetch(`http://${pod.status?.podIP}:8080/`)).text();
    assert.match(page, /<code>web<\/code>/);
    const memory = await readFile(
      `/sys/fs/cgroup/memory${cgroupParent}/burstable/pod${pod.metadata.uid}/memory.limit_in_bytes`,
      "utf8",
    ).catch(() => undefined);
    if (memory !== undefined) assert.equal(memory.trim(), String(64 * 1024 * 1024));
    await remove("web");
    assert.deepEqual(await readdir(join(dir, "agent", "pods")), []);
  });

  test("environment, files and logs", async () => {
    await client.create(configMaps, {
      metadata: { name: "settings", namespace: "default" },
      data: { color: "blue", "app.conf": "one" },
    });
    await client.create(secrets, {
      metadata: { name: "keys", namespace: "default" },
      data: { password: Buffer.from("s3cret").toString("base64") },
    });
    const script = [
      "echo color=$COLOR pw=$PW ip=$IP both=$BOTH cpu=$CPU",
      "cat /config/app.conf; echo; cat /secret/password; echo; cat /info/labels; echo; cat /tmp/token/token; echo",
      "cat /config/app.conf > /shared/copy; ls -l /config/app.conf | cut -d' ' -f1",
      "grep -c files /etc/hosts; grep nameserver /etc/resolv.conf; echo bye >&2; sleep 1000",
    ].join("; ");
    await run("files", {
      terminationGracePeriodSeconds: 1,
      volumes: [
        { name: "config", configMap: { name: "settings" } },
        { name: "secret", secret: { secretName: "keys" } },
        {
          name: "info",
          downwardAPI: { items: [{ path: "labels", fieldRef: { fieldPath: "metadata.name" } }] },
        },
        { name: "shared", emptyDir: {} },
        { name: "token", projected: { sources: [{ serviceAccountToken: { path: "token" } }] } },
      ],
      containers: [
        {
          name: "main",
          image: demoImageName,
          imagePullPolicy: "IfNotPresent",
          command: ["sh", "-c", script],
          env: [
            { name: "COLOR", valueFrom: { configMapKeyRef: { name: "settings", key: "color" } } },
            { name: "PW", valueFrom: { secretKeyRef: { name: "keys", key: "password" } } },
            { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.hostIP" } } },
            { name: "BOTH", value: "$(COLOR)-$(PW)-$(NOPE)-$$(COLOR)" },
            { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu", divisor: "1m" } } },
          ],
          resources: { limits: { cpu: "100m" } },
          volumeMounts: [
            { name: "config", mountPath: "/config" },
            { name: "secret", mountPath: "/secret" },
            { name: "info", mountPath: "/info" },
            { name: "shared", mountPath: "/shared", subPath: "deep/inside" },
            { name: "token", mountPath: "/tmp/token" },
          ],
        },
      ],
    });
    await untilPod("files", "ready", isReady);
    await eventually("all is logged", async () =>
      (await get("/containerLogs/default/files/main")).body.includes("bye"),
    );
    const { body } = await get("/containerLogs/default/files/main");
    assert.match(body, /color=blue pw=s3cret ip=127.0.0.1 both=blue-s3cret-\$\(NOPE\)-\$\(COLOR\) cpu=100/);
    assert.match(
      body,
      /one\ns3cret\nfiles\ntoken-of-default-default\nlrwxrwxrwx\n1\nnameserver 10.43.0.10\nbye\n/,
    );
    assert.equal((await get("/containerLogs/default/files/main?tailLines=1")).body, "bye\n");
    assert.match(
      (await get("/containerLogs/default/files/main?tailLines=1&timestamps=true")).body,
      /^\d{4}-.*Z bye\n$/,
    );
    await client.patch(configMaps, "default", "settings", "merge", { data: { "app.conf": "two" } });
    await eventually(
      "the file is updated",
      async () => (await exec("files", "main", ["cat", "/config/app.conf"])).stdout === "two",
    );
    await remove("files");
  });

  test("exec: output, exit code, standard input with half-close", async () => {
    await run("shell", { terminationGracePeriodSeconds: 1, containers: [sleeper()] });
    await untilPod("shell", "ready", isReady);
    const failed = await exec("shell", "main", ["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert.equal(failed.stdout, "out\n");
    assert.equal(failed.stderr, "err\n");
    assert.equal(failed.status.status, "Failure");
    assert.deepEqual(failed.status.details?.causes, [{ reason: "ExitCode", message: "7" }]);
    const counted = await exec("shell", "main", ["wc", "-c"], Buffer.alloc(300_000, "x"));
    assert.equal(counted.stdout.trim(), "300000");
    assert.equal(counted.status.status, "Success");
    await remove("shell");
  });

  test("exec with a terminal that changes its size, for SPDY clients too", async () => {
    await run("terminal", { terminationGracePeriodSeconds: 1, containers: [sleeper()] });
    await untilPod("terminal", "ready", isReady);
    const query = "command=sh&input=1&output=1&tty=1";
    const socket = openSocket(`/exec/default/terminal/main?${query}`, "v5.channel.k8s.io");
    let screen = "";
    socket.on("message", (data: Buffer) => {
      if (data[0] === 1) screen += data.subarray(1).toString();
    });
    await new Promise((resolve) => socket.on("open", resolve));
    socket.send(Buffer.concat([Buffer.from([4]), Buffer.from('{"Width":123,"Height":45}')]));
    socket.send(Buffer.concat([Buffer.from([0]), Buffer.from("stty size\nexit\n")]));
    await new Promise((resolve) => socket.on("close", resolve));
    assert.match(screen, /45 123/);

    const spdy = await spdyUpgrade(
      "/exec/default/terminal/main?command=sh&command=-c&command=cat%3B+exit+5&input=1&output=1",
      "v4.channel.k8s.io",
    );
    const error = spdy.open({ streamType: "error" });
    const stdin = spdy.open({ streamType: "stdin" });
    const stdout = spdy.open({ streamType: "stdout" });
    let text = "";
    let status = "";
    stdout.onData = (data) => (text += data.toString());
    error.onData = (data) => (status += data.toString());
    const ended = new Promise<void>((resolve) => (error.onEnd = resolve));
    stdin.write(Buffer.from("through"));
    stdin.end();
    await ended;
    spdy.close();
    assert.equal(text, "through");
    assert.match(status, /"ExitCode","message":"5"/);
    await remove("terminal");
  });

  test("port-forward: SPDY, and SPDY tunnelled through a WebSocket", async () => {
    await run("forward", {
      terminationGracePeriodSeconds: 1,
      containers: [{ name: "web", image: demoImageName, imagePullPolicy: "IfNotPresent" }],
    });
    const pod = await untilPod("forward", "ready", isReady);
    await eventually("it serves", async () => (await fetch(`http://${pod.status?.podIP}:8080/`)).ok);
    const plain = await spdyUpgrade("/portForward/default/forward?port=8080", "portforward.k8s.io");
    assert.match(await forwardedGet(plain), /<code>forward<\/code>/);
    const tunnelled = await webSocketTunnel("/portForward/default/forward?port=8080");
    assert.match(await forwardedGet(tunnelled), /<code>forward<\/code>/);
    await remove("forward");
  });

  test("pods outlive containerd, and it is started again", async () => {
    await run("outlives", { terminationGracePeriodSeconds: 1, containers: [sleeper()] });
    const before = await untilPod("outlives", "ready", isReady);
    const killed = containerd.pid;
    process.kill(killed, "SIGKILL");
    await eventually("containerd is back", () => Promise.resolve(containerd.pid !== killed));
    await eventually(
      "exec works",
      async () => (await exec("outlives", "main", ["echo", "hi"])).stdout === "hi\n",
    );
    const now = await client.get<Pod>(pods, "default", "outlives");
    assert.deepEqual(
      now.status?.containerStatuses?.[0]?.containerID,
      before.status?.containerStatuses?.[0]?.containerID,
    );
    assert.equal(now.status?.containerStatuses?.[0]?.restartCount, 0);
    await remove("outlives");
  });

  test("a node that lost all its processes starts its pods again", async () => {
    await run("again", { terminationGracePeriodSeconds: 1, containers: [sleeper()] });
    const before = await untilPod("again", "ready", isReady);
    await agent.close();
    const killed = containerd.pid;
    for (const pid of await processesOf(dir, cgroupParent)) process.kill(pid, "SIGKILL");
    await eventually("containerd is back", () => Promise.resolve(containerd.pid !== killed));
    await eventually("the agent starts", async () => {
      agent = await launch();
      return true;
    });
    const now = await untilPod(
      "again",
      "runs again",
      (pod) => isReady(pod) && pod.status?.containerStatuses?.[0]?.restartCount === 1,
    );
    assert.notEqual(now.status?.podIP, undefined);
    assert.equal(now.metadata.uid, before.metadata.uid);
    assert.equal((await exec("again", "main", ["echo", "hi"])).stdout, "hi\n");
    await remove("again");
  });

  test("a node that was taken for dead says that it lives", async () => {
    const conditions = [{ type: "Ready", status: "Unknown", reason: "NodeStatusUnknown" }];
    await client.patch(nodes, undefined, "node-a", "strategic", { status: { conditions } });
    await eventually("ready again", async () => {
      const node = await client.get(nodes, undefined, "node-a");
      const list = (node["status"] as { conditions: { type: string; status: string }[] }).conditions;
      return list.some((each) => each.type === "Ready" && each.status === "True");
    });
  });

  test("sidecars, hooks, previous logs, a grace period that is used up", async () => {
    await run("side", {
      restartPolicy: "Never",
      terminationGracePeriodSeconds: 1,
      initContainers: [
        { ...sleeper("proxy", "trap 'exit 0' TERM; while :; do sleep 0.1; done"), restartPolicy: "Always" },
      ],
      containers: [
        {
          ...sleeper("main", "while ! [ -e /tmp/started ]; do sleep 0.05; done; echo done"),
          lifecycle: { postStart: { exec: { command: ["touch", "/tmp/started"] } } },
        },
      ],
    });
    const done = await untilPod("side", "succeeded", (pod) => pod.status?.phase === "Succeeded");
    assert.equal(done.status?.initContainerStatuses?.[0]?.state?.terminated?.exitCode, 0);
    assert.equal((await get("/containerLogs/default/side/main")).body, "done\n");
    await remove("side");
    await run("twice", { containers: [sleeper("main", "echo run; exit 1")] });
    await untilPod("twice", "restarted", (pod) => pod.status?.containerStatuses?.[0]?.restartCount === 1);
    await eventually(
      "previous log",
      async () => (await get("/containerLogs/default/twice/main?previous=true")).body === "run\n",
    );
    await remove("twice");
  });

  test("init containers run first; a failing container backs off; a finished pod is Succeeded", async () => {
    await run("ordered", {
      restartPolicy: "Never",
      volumes: [{ name: "work", emptyDir: {} }],
      initContainers: [
        {
          ...sleeper("first", "echo 1 >> /work/order"),
          volumeMounts: [{ name: "work", mountPath: "/work" }],
        },
        {
          ...sleeper("second", "echo 2 >> /work/order"),
          volumeMounts: [{ name: "work", mountPath: "/work" }],
        },
      ],
      containers: [
        {
          ...sleeper("main", "cat /work/order > /dev/termination-log"),
          volumeMounts: [{ name: "work", mountPath: "/work" }],
        },
      ],
    });
    const done = await untilPod("ordered", "succeeded", (pod) => pod.status?.phase === "Succeeded");
    assert.equal(done.status?.containerStatuses?.[0]?.state?.terminated?.message, "1\n2\n");
    assert.equal(done.status?.containerStatuses?.[0]?.state?.terminated?.reason, "Completed");
    await run("crash", { containers: [sleeper("main", "exit 3")] });
    const crashed = await untilPod(
      "crash",
      "backs off",
      (pod) => pod.status?.containerStatuses?.[0]?.state?.waiting?.reason === "CrashLoopBackOff",
    );
    const status = crashed.status?.containerStatuses?.[0];
    assert.equal(status?.lastState?.terminated?.exitCode, 3);
    assert.match(
      status?.state?.waiting?.message ?? "",
      /^back-off 10s restarting failed container=main pod=crash_default\(/,
    );
    await remove("ordered");
    await remove("crash");
  });

  test("a restarted agent adopts running containers; a pod that is gone from the API is stopped", async () => {
    await run("kept", { terminationGracePeriodSeconds: 1, containers: [sleeper()] });
    await run("lost", { terminationGracePeriodSeconds: 1, containers: [sleeper()] });
    const before = await untilPod("kept", "ready", isReady);
    await untilPod("lost", "ready", isReady);
    await agent.close();
    await client.delete(pods, "default", "lost", { gracePeriodSeconds: 0 });
    agent = await launch();
    const runtime = new RuntimeClient(containerd.socket);
    await eventually("the lost pod is stopped", async () => {
      const list = await runtime.listContainers();
      return list.every((each) => each.labels["io.kubernetes.pod.name"] !== "lost");
    });
    const list = await runtime.listContainers();
    runtime.close();
    const id = before.status?.containerStatuses?.[0]?.containerID?.replace("containerd://", "");
    assert.ok(list.some((each) => each.id === id && each.state === "CONTAINER_RUNNING"));
    const after = await untilPod("kept", "still ready", isReady);
    assert.equal(after.status?.containerStatuses?.[0]?.restartCount, 0);
    await remove("kept");
  });

  test("a failed liveness probe restarts the container; a missing image waits", async () => {
    await run("sick", {
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          ...sleeper(),
          livenessProbe: { exec: { command: ["false"] }, periodSeconds: 1, failureThreshold: 1 },
        },
      ],
    });
    const sick = await untilPod(
      "sick",
      "restarted",
      (pod) => (pod.status?.containerStatuses?.[0]?.restartCount ?? 0) > 0,
    );
    assert.equal(sick.status?.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 137);
    await run("imageless", {
      containers: [{ name: "main", image: "trivet.local/none:1", imagePullPolicy: "Never" }],
    });
    const waits = await untilPod(
      "imageless",
      "waits",
      (pod) => pod.status?.containerStatuses?.[0]?.state?.waiting?.reason === "ErrImageNeverPull",
    );
    assert.equal(waits.status?.phase, "Pending");
    await remove("sick");
    await remove("imageless");
  });

  test("without a certificate there is no answer", async () => {
    const status = await new Promise<number>((resolve, reject) => {
      const options = { host: "127.0.0.1", port: agent.port, path: "/pods", rejectUnauthorized: false };
      httpsRequest(options, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      })
        .on("error", reject)
        .end();
    });
    assert.equal(status, 401);
  });

  function openSocket(path: string, protocol: string): WebSocket {
    return new WebSocket(`wss://127.0.0.1:${agent.port}${path}`, [protocol], clientTls(certificates));
  }

  function spdyUpgrade(path: string, protocol: string): Promise<SpdyConnection> {
    return new Promise((resolve, reject) => {
      const headers = { connection: "Upgrade", upgrade: "SPDY/3.1", "x-stream-protocol-version": protocol };
      const options = {
        host: "127.0.0.1",
        port: agent.port,
        path,
        method: "POST",
        headers,
        ...clientTls(certificates),
      };
      const request = httpsRequest(options);
      request.on("upgrade", (_, socket, head) => resolve(new SpdyConnection(socket, head)));
      request.on("response", (response) => reject(new Error(`answered ${response.statusCode}`)));
      request.on("error", reject);
      request.end();
    });
  }

  /** As kubectl does it. By hand: the protocol's name is one that WebSocket libraries refuse. */
  function webSocketTunnel(path: string): Promise<SpdyConnection> {
    return new Promise((resolve, reject) => {
      const headers = {
        connection: "Upgrade",
        upgrade: "websocket",
        "sec-websocket-key": Buffer.alloc(16).toString("base64"),
        "sec-websocket-version": "13",
        "sec-websocket-protocol": "SPDY/3.1+portforward.k8s.io",
      };
      const options = { host: "127.0.0.1", port: agent.port, path, headers, ...clientTls(certificates) };
      const request = httpsRequest(options);
      request.on("upgrade", (response, socket, head) => {
        assert.equal(response.headers["sec-websocket-protocol"], "SPDY/3.1+portforward.k8s.io");
        resolve(new SpdyConnection(webSocketFrames(socket, head) as Socket, Buffer.alloc(0)));
      });
      request.on("response", (response) => reject(new Error(`answered ${response.statusCode}`)));
      request.on("error", reject);
      request.end();
    });
  }

  function exec(pod: string, container: string, command: string[], stdin?: Buffer): Promise<ExecResult> {
    const query = new URLSearchParams(command.map((word) => ["command", word]));
    query.set("output", "1");
    query.set("error", "1");
    if (stdin) query.set("input", "1");
    const url = `wss://127.0.0.1:${agent.port}/exec/default/${pod}/${container}?${query.toString()}`;
    const socket = new WebSocket(url, ["v5.channel.k8s.io"], clientTls(certificates));
    const output: Record<number, Buffer[]> = { 1: [], 2: [], 3: [] };
    return new Promise((resolve, reject) => {
      socket.on("open", () => {
        if (!stdin) return;
        for (let at = 0; at < stdin.length; at += 32_768)
          socket.send(Buffer.concat([Buffer.from([0]), stdin.subarray(at, at + 32_768)]));
        socket.send(Buffer.from([255, 0]));
      });
      socket.on("message", (data: Buffer) => output[data[0]!]?.push(data.subarray(1)));
      socket.on("error", reject);
      socket.on("close", () => {
        const text = (channel: number) => Buffer.concat(output[channel]!).toString();
        resolve({
          stdout: text(1),
          stderr: text(2),
          status: JSON.parse(text(3) || "{}") as ExecResult["status"],
        });
      });
    });
  }
});

/** One HTTP request through a forwarded port, the answer as text. */
function forwardedGet(connection: SpdyConnection): Promise<string> {
  connection.open({ streamType: "error", port: "8080", requestID: "0" }).end();
  const data = connection.open({ streamType: "data", port: "8080", requestID: "0" });
  let text = "";
  data.onData = (chunk) => (text += chunk.toString());
  return new Promise((resolve) => {
    data.onEnd = () => {
      connection.close();
      resolve(text);
    };
    data.write(Buffer.from("GET / HTTP/1.0\r\n\r\n"));
  });
}

interface ExecResult {
  stdout: string;
  stderr: string;
  status: { status?: string; details?: { causes?: unknown[] } };
}

interface Certificates {
  cert: string;
  key: string;
}

const quiet: Logger = process.env["TRIVET_TEST_LOG"]
  ? { debug: console.log, info: console.log, warn: console.log, error: console.log }
  : { debug() {}, info() {}, warn() {}, error() {} };

function sleeper(name = "main", script = "sleep 1000") {
  return {
    name,
    image: demoImageName,
    imagePullPolicy: "IfNotPresent",
    command: ["sh", "-c", script],
  };
}

function isReady(pod: Pod): boolean | undefined {
  return pod.status?.conditions?.some((each) => each.type === "Ready" && each.status === "True");
}

async function eventually(
  what: string,
  check: () => Promise<boolean | undefined>,
  limitMs = 20_000,
  detail: () => string = () => "",
): Promise<void> {
  const end = Date.now() + limitMs;
  while (!(await check().catch(() => false))) {
    if (Date.now() > end) throw new Error(`not in time: ${what} ${detail()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** containerd, its shims, and everything in the pods' cgroups. */
async function processesOf(dir: string, cgroup: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const read = (file: string) => readFile(`/proc/${name}/${file}`, "utf8").catch(() => "");
    if ((await read("cmdline")).includes(dir) || (await read("cgroup")).includes(cgroup))
      found.push(Number(name));
  }
  return found;
}

async function removeAllPods(socket: string): Promise<void> {
  const runtime = new RuntimeClient(socket);
  for (const { id } of await runtime.listSandboxes()) {
    await runtime.stopSandbox(id);
    await runtime.removeSandbox(id);
  }
  runtime.close();
}

function cniConfig(bridge: string, dataDir: string) {
  return {
    cniVersion: "0.4.0",
    name: "trivet-test",
    plugins: [
      {
        type: "bridge",
        bridge,
        isGateway: true,
        hairpinMode: true,
        ipMasq: false,
        ipam: {
          type: "host-local",
          dataDir,
          ranges: [[{ subnet: "10.199.77.0/24" }]],
          routes: [{ dst: "0.0.0.0/0" }],
        },
      },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  };
}

/** One self-signed certificate plays the authority, the server and the client. */
async function makeCertificates(): Promise<Certificates> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: "CN=trivet-test",
    keys,
    signingAlgorithm: algorithm,
    extensions: [new BasicConstraintsExtension(true)],
  });
  const key = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  return {
    cert: certificate.toString("pem"),
    key: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n`,
  };
}

function clientTls({ cert, key }: Certificates) {
  return { cert, key, rejectUnauthorized: false };
}

function available(): true | string {
  if (process.getuid?.() !== 0) return "needs root";
  for (const tool of ["containerd", "ctr", "runc"])
    try {
      execFileSync("sh", ["-c", `command -v ${tool}`], {
        stdio: "ignore",
        env: { PATH: `${process.env["PATH"]}:/usr/sbin` },
      });
    } catch {
      return `needs ${tool}`;
    }
  return true;
}
