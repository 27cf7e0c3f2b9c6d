/** A client of etcd's gRPC API over mutual TLS: the same for a Trivet and for an etcd. */
import { prefixEnd } from "#base/key-range.ts";
import type { WireWatchResponse } from "#etcd/client-feed.ts";
import type { WireRangeResponse } from "#etcd/client-messages.ts";
import { loadServices } from "#etcd/definitions.ts";
import type { Client } from "./client.ts";
import { notThere } from "./client.ts";
import { GrpcChannel } from "./grpc-channel.ts";
import type { Credentials } from "./grpc-channel.ts";

export interface MemberView {
  memberId: string;
  /** "0": it knows of none. */
  leaderId: string;
  appliedIndex: number;
}

const { KV, Watch, Maintenance } = loadServices();

export class GrpcClient implements Client {
  readonly #channel: GrpcChannel;

  constructor(port: number, credentials: Credentials) {
    this.#channel = new GrpcChannel(port, credentials);
  }

  async put(key: string, value: Uint8Array): Promise<void> {
    await this.#call(KV, "Put", { key: Buffer.from(key), value });
  }

  async putAll(keys: string[], value: Uint8Array): Promise<void> {
    const success = keys.map((key) => ({ request_put: { key: Buffer.from(key), value } }));
    await this.#call(KV, "Txn", { compare: [], success, failure: [] });
  }

  async get(key: string): Promise<void> {
    if ((await this.#range({ key: Buffer.from(key) })).kvs.length !== 1) throw notThere(key);
  }

  async keysBelow(prefix: string): Promise<string[]> {
    const { kvs } = await this.#range({ ...below(prefix), keys_only: true });
    return kvs.map(({ key }) => key.toString());
  }

  watch(prefix: string, onValue: (value: Uint8Array) => void): Promise<() => void> {
    const { path, requestSerialize, responseDeserialize } = methodOf(Watch, "Watch");
    return new Promise((resolve, reject) => {
      const stream = this.#channel.stream(
        path,
        (message) => {
          const { created, events } = responseDeserialize(message) as WireWatchResponse;
          for (const { kv } of events) onValue(kv.value);
          if (created) resolve(() => stream.cancel());
        },
        (error) => reject(error),
      );
      stream.send(requestSerialize({ create_request: below(prefix) }));
    });
  }

  async status(): Promise<MemberView> {
    const { header, leader, raftAppliedIndex } = await this.#call<{
      header: { member_id: string };
      leader: string;
      raftAppliedIndex: string;
    }>(Maintenance, "Status", {});
    return { memberId: header.member_id, leaderId: leader, appliedIndex: Number(raftAppliedIndex) };
  }

  /** What `etcdctl move-leader` asks. */
  async moveLeader(targetId: string): Promise<void> {
    await this.#call(Maintenance, "MoveLeader", { targetID: targetId });
  }

  close(): void {
    this.#channel.close();
  }

  #range(request: object): Promise<WireRangeResponse> {
    return this.#call(KV, "Range", request);
  }

  async #call<T>(service: Service, name: string, request: object): Promise<T> {
    const { path, requestSerialize, responseDeserialize } = methodOf(service, name);
    return responseDeserialize(await this.#channel.call(path, requestSerialize(request))) as T;
  }
}

type Service = ReturnType<typeof loadServices>["KV"];

function methodOf(service: Service, name: string): Service[string] {
  const method = service[name];
  if (method === undefined) throw new Error(`there is no ${name}`);
  return method;
}

function below(prefix: string): { key: Buffer; range_end: Buffer } {
  return { key: Buffer.from(prefix), range_end: Buffer.from(prefixEnd(prefix)) };
}
