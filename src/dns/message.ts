/** DNS messages as bytes: decoding what comes, and fitting what goes into what the asker can take. Pure. */
import { decode, encode } from "dns-packet";
import type { Answer, DecodedPacket, OptAnswer, Packet, Question } from "dns-packet";

export type Rcode = "NOERROR" | "FORMERR" | "SERVFAIL" | "NXDOMAIN" | "NOTIMP" | "REFUSED";

export const rcodes: Record<Rcode, number> = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
};

export interface Query {
  id: number;
  question: Question;
  /** What the asker can take over UDP. */
  udpSizeBytes: number;
  edns: boolean;
  dnssec: boolean;
  recursionDesired: boolean;
}

export interface Reply {
  rcode: Rcode;
  authoritative: boolean;
  answers: Answer[];
  authorities?: Answer[];
  additionals?: Answer[];
}

/** Largest UDP answer that no path fragments (DNS flag day 2020). */
const udpSizeBytesMax = 1232;
const udpSizeBytesMin = 512;
const flag = {
  response: 1 << 15,
  authoritative: 1 << 10,
  truncated: 1 << 9,
  desired: 1 << 8,
  available: 1 << 7,
};

/** The query, or the code to refuse it with, or undefined for what deserves no answer (no header, or an answer). */
export function readQuery(bytes: Buffer): Query | { id: number; refuse: Rcode } | undefined {
  if (bytes.length < 12) return undefined;
  const id = bytes.readUInt16BE(0);
  const flags = bytes.readUInt16BE(2);
  if (flags & flag.response) return undefined;
  if (((flags >> 11) & 15) !== 0) return { id, refuse: "NOTIMP" };
  let packet: DecodedPacket;
  try {
    packet = decode(bytes);
  } catch {
    return { id, refuse: "FORMERR" };
  }
  const question = packet.questions?.[0];
  if (question === undefined || packet.questions!.length !== 1) return { id, refuse: "FORMERR" };
  if (question.class !== undefined && question.class !== "IN") return { id, refuse: "REFUSED" };
  const opt = packet.additionals?.find((record): record is OptAnswer => record.type === "OPT");
  return {
    id,
    question,
    udpSizeBytes: Math.min(Math.max(opt?.udpPayloadSize ?? 0, udpSizeBytesMin), udpSizeBytesMax),
    edns: opt !== undefined,
    dnssec: opt?.flag_do ?? false,
    recursionDesired: (flags & flag.desired) !== 0,
  };
}

/** Within the limit: additional records are left out first, then answers, and then the asker is told to come by TCP. */
export function writeReply(query: Query, reply: Reply, limitBytes: number): Buffer {
  const full = encodeReply(query, reply, false);
  if (full.length <= limitBytes) return full;
  const lean = encodeReply(query, { ...reply, additionals: [] }, false);
  if (lean.length <= limitBytes) return lean;
  let { answers } = reply;
  for (;;) {
    answers = answers.slice(0, Math.floor(answers.length / 2));
    const cut = encodeReply(query, { ...reply, answers, authorities: [], additionals: [] }, true);
    if (cut.length <= limitBytes || answers.length === 0) return cut;
  }
}

/** A refusal of what could not be read: only a header. */
export function writeRefusal(id: number, rcode: Rcode): Buffer {
  return encode({ id, type: "response", flags: rcodes[rcode] });
}

function encodeReply(query: Query, reply: Reply, truncated: boolean): Buffer {
  const additionals = [...(reply.additionals ?? [])];
  if (query.edns) additionals.push(optRecord(query.dnssec));
  const packet: Packet = {
    id: query.id,
    type: "response",
    flags:
      flag.available |
      rcodes[reply.rcode] |
      (reply.authoritative ? flag.authoritative : 0) |
      (truncated ? flag.truncated : 0) |
      (query.recursionDesired ? flag.desired : 0),
    questions: [query.question],
    answers: reply.answers,
    authorities: reply.authorities ?? [],
    additionals,
  };
  return encode(packet);
}

export function optRecord(dnssec: boolean): Answer {
  return {
    type: "OPT",
    name: ".",
    udpPayloadSize: udpSizeBytesMax,
    flags: dnssec ? 1 << 15 : 0,
    options: [],
  } as unknown as Answer;
}
