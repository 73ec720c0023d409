// Thread: main
// A guest's byte output as a stream that neither floods the embedder nor stalls a guest nobody listens to.

/** What is kept of the output while nobody reads. */
const KEEP = 64 * 1024;
/** Chunks are joined up to this: an array of one byte takes hundreds. */
const JOIN = 4096;

export class ByteChannel {
  readonly #onTaken: (length: number) => void;
  #chunks: Uint8Array[] = [];
  #kept = 0;
  #wanted: ((chunk: Uint8Array | null) => void) | null = null;
  #closed = false;
  #stream: ReadableStream<Uint8Array> | null = null;

  /** `onTaken` is called with each number of bytes that are out of the way. */
  constructor(onTaken: (length: number) => void) {
    this.#onTaken = onTaken;
  }

  /** Bytes that wait for a reader. */
  get pending(): number {
    return this.#kept;
  }

  push(bytes: Uint8Array): void {
    if (this.#closed || bytes.length === 0) return;
    if (this.#wanted !== null) {
      const wanted = this.#wanted;
      this.#wanted = null;
      wanted(bytes);
      this.#onTaken(bytes.length);
      return;
    }
    this.#append(bytes);
    this.#kept += bytes.length;
    this.#trim();
  }

  #append(bytes: Uint8Array): void {
    const last = this.#chunks.at(-1);
    if (last === undefined || last.length + bytes.length > JOIN) {
      this.#chunks.push(bytes);
      return;
    }
    const both = new Uint8Array(last.length + bytes.length);
    both.set(last);
    both.set(bytes, last.length);
    this.#chunks[this.#chunks.length - 1] = both;
  }

  #trim(): void {
    while (this.#stream === null && this.#kept > KEEP) this.#take();
  }

  #take(): Uint8Array | undefined {
    const chunk = this.#chunks.shift();
    if (chunk === undefined) return undefined;
    this.#kept -= chunk.length;
    this.#onTaken(chunk.length);
    return chunk;
  }

  /** The output from the last 64 KiB before the first use of this property on. Ends with the VM. */
  get readable(): ReadableStream<Uint8Array> {
    return this.#stream ??= new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        const chunk = this.#take() ?? await this.#next();
        if (chunk === null) controller.close();
        else controller.enqueue(chunk);
      },
      cancel: () => {
        this.#stream = null;
        this.#wanted = null;
        // The guest may be waiting for what the reader left.
        this.#trim();
      },
    }, { highWaterMark: 0 });
  }

  #next(): Promise<Uint8Array | null> {
    if (this.#closed) return Promise.resolve(null);
    return new Promise((resolve) => this.#wanted = resolve);
  }

  close(): void {
    this.#closed = true;
    this.#wanted?.(null);
    this.#wanted = null;
  }
}
