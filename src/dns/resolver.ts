/** One message in, one message out: the zone answers what is the cluster's, the forwarder the rest. */
import type { Answer } from "dns-packet";
import type { Logger, Random } from "#base/ports.ts";
import type { Forwarder } from "./forwarder.ts";
import { readQuery, writeRefusal, writeReply } from "./message.ts";
import type { Query, Reply } from "./message.ts";
import type { MessageHandler } from "./listener.ts";
import { truncate } from "./raw-reply.ts";
import { resolve, startOfAuthority } from "./zone.ts";
import type { ZoneOptions, ZoneResult, ZoneView } from "./zone.ts";
import { decode } from "dns-packet";

export interface ResolverOptions {
  view: ZoneView;
  zone: ZoneOptions;
  /** False until the view is complete: until then a missing name proves nothing. */
  isSynced: () => boolean;
  forwarder: Forwarder;
  random: Random;
  logger: Logger;
}

const tcpSizeBytesMax = 65_535;
const failure: Reply = { rcode: "SERVFAIL", authoritative: false, answers: [] };

export function createResolver(options: ResolverOptions): MessageHandler {
  return async (message, transport) => {
    const query = readQuery(message);
    if (query === undefined) return undefined;
    if ("refuse" in query) return writeRefusal(query.id, query.refuse);
    const limitBytes = transport === "tcp" ? tcpSizeBytesMax : query.udpSizeBytes;
    try {
      return await answer(query, message, limitBytes, options);
    } catch (error) {
      options.logger.error("a DNS query failed", { name: query.question.name, error: String(error) });
      return writeReply(query, failure, limitBytes);
    }
  };
}

async function answer(
  query: Query,
  message: Buffer,
  limitBytes: number,
  options: ResolverOptions,
): Promise<Buffer> {
  const result: ZoneResult = resolve(query.question, options.view, options.zone);
  if (result.kind === "elsewhere") {
    const forwarded = await options.forwarder.resolve(query, message);
    if (forwarded === undefined) return writeReply(query, failure, limitBytes);
    return forwarded.length <= limitBytes ? forwarded : truncate(forwarded);
  }
  if (!options.isSynced()) return writeReply(query, failure, limitBytes);
  if (result.kind === "alias")
    return writeReply(query, await follow(query, result.answer, options), limitBytes);
  const answers = result.kind === "records" ? shuffled(result.answers, options.random) : [];
  const reply: Reply = {
    rcode: result.kind === "unknown-name" ? "NXDOMAIN" : "NOERROR",
    authoritative: true,
    answers,
    authorities: answers.length === 0 ? [startOfAuthority(options.zone)] : [],
    additionals: result.kind === "records" ? (result.additionals ?? []) : [],
  };
  return writeReply(query, reply, limitBytes);
}

/** The alias, and what the name it stands for has, when an upstream knows. */
async function follow(
  query: Query,
  alias: Answer & { data: string },
  options: ResolverOptions,
): Promise<Reply> {
  const reply: Reply = { rcode: "NOERROR", authoritative: true, answers: [alias] };
  if (query.question.type === "CNAME") return reply;
  const question = { ...query.question, name: alias.data };
  const target = resolve(question, options.view, options.zone);
  if (target.kind === "records") reply.answers.push(...target.answers);
  if (target.kind !== "elsewhere") return reply;
  const asked = { ...query, question };
  const bytes = writeReply(asked, { rcode: "NOERROR", authoritative: false, answers: [] }, tcpSizeBytesMax);
  const forwarded = await options.forwarder.resolve(asked, bytes);
  if (forwarded !== undefined) reply.answers.push(...(decode(forwarded).answers ?? []));
  return reply;
}

/** So that clients which take the first answer spread over all. */
function shuffled(answers: Answer[], random: Random): Answer[] {
  const mixed = [...answers];
  for (let last = mixed.length - 1; last > 0; last--) {
    const other = random.integer(last + 1);
    [mixed[last], mixed[other]] = [mixed[other]!, mixed[last]!];
  }
  return mixed;
}
