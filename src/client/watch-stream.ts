/**
 * Decodes the body of a watch: one JSON document per line, in chunks that end anywhere. An ERROR event
 * becomes a thrown StatusError; the end of the body is the end of the watch.
 */
import type { KubeObject } from "#kinds/object.ts";
import { statusError } from "./status-error.ts";
import type { WatchEvent } from "./types.ts";

export async function* decodeWatch(body: Uint8Array | AsyncIterable<Uint8Array>): AsyncGenerator<WatchEvent> {
  for await (const line of lines(body instanceof Uint8Array ? [body] : body)) {
    const event = JSON.parse(line) as { type: string; object: KubeObject };
    if (event.type === "ERROR") throw statusError(500, event.object);
    yield event as WatchEvent;
  }
}

async function* lines(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of chunks) {
    const text = rest + decoder.decode(chunk, { stream: true });
    let start = 0;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", start)) {
      if (end > start) yield text.slice(start, end);
      start = end + 1;
    }
    rest = text.slice(start);
  }
  if (rest.trim() !== "") yield rest;
}
