/**
 * A response body that is pushed: watches and proxied streams write into it, and either the network
 * listener (by `attach`, without a promise per chunk) or an in-process caller (by iterating) reads it.
 * What is not read yet is bounded: beyond the limit the producer is told to give up.
 */

export interface ByteSink {
  write(chunk: Uint8Array): void;
  end(): void;
  /** Bytes written and not yet taken by the network. */
  bufferedBytes(): number;
}

export class ByteStream implements AsyncIterable<Uint8Array> {
  #sink: ByteSink | undefined;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #ended = false;
  #wake: (() => void) | undefined;
  #onAbandon: (() => void)[] = [];
  #onClose: (() => void)[] = [];
  readonly #limitBytes: number;

  constructor(limitBytes = 16 * 1024 * 1024) {
    this.#limitBytes = limitBytes;
  }

  /** Returns false when the reader is too slow: the caller must end the stream. */
  write(chunk: Uint8Array): boolean {
    if (this.#ended) return true;
    if (this.#sink !== undefined) {
      this.#sink.write(chunk);
      return this.#sink.bufferedBytes() <= this.#limitBytes;
    }
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.byteLength;
    this.#wake?.();
    return this.#pendingBytes <= this.#limitBytes;
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#sink?.end();
    this.#wake?.();
    for (const callback of this.#onClose.splice(0)) callback();
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Called when the reader goes away before the end. */
  onAbandon(callback: () => void): void {
    this.#onAbandon.push(callback);
  }

  /** Called once when the stream has ended, by its producer or by its reader; at once if it has already. */
  onClose(callback: () => void): void {
    if (this.#ended) callback();
    else this.#onClose.push(callback);
  }

  abandon(): void {
    this.#ended = true;
    this.#pending = [];
    this.#wake?.();
    for (const callback of this.#onAbandon.splice(0)) callback();
    for (const callback of this.#onClose.splice(0)) callback();
  }

  /** Hands everything, past and future, to the sink. Used instead of iterating, never beside it. */
  attach(sink: ByteSink): void {
    for (const chunk of this.#pending) sink.write(chunk);
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#sink = sink;
    if (this.#ended) sink.end();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const chunk = this.#pending.shift();
        if (chunk !== undefined) {
          this.#pendingBytes -= chunk.byteLength;
          yield chunk;
        } else if (this.#ended) {
          return;
        } else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
          this.#wake = undefined;
        }
      }
    } finally {
      if (!this.#ended) this.abandon();
    }
  }
}
