// Thread: main
// Input for a guest as a stream that is never further ahead of what the guest took than a window.

/** Bytes that the guest has not taken yet, above which a writer waits. */
const WINDOW = 64 * 1024;
/** What is handed on at once. */
const PIECE = 64 * 1024;

export class InputWindow {
  readonly writable: WritableStream<Uint8Array>;
  readonly #post: (bytes: Uint8Array) => void;
  #inFlight = 0;
  #room: (() => void) | null = null;
  #closed = false;

  /** `post` hands a copy of bytes on; `taken` is to be called for each of them later. */
  constructor(post: (bytes: Uint8Array) => void) {
    this.#post = post;
    this.writable = new WritableStream({
      write: (bytes) => this.#write(bytes),
    });
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length && !this.#closed; at += PIECE) {
      const piece = bytes.slice(at, at + PIECE);
      this.#inFlight += piece.length;
      this.#post(piece);
      if (this.#inFlight < WINDOW) continue;
      await new Promise<void>((resolve) => this.#room = resolve);
    }
  }

  taken(length: number): void {
    this.#inFlight -= length;
    if (this.#inFlight < WINDOW) this.#go();
  }

  /** From now on whatever is written is lost, and nobody waits. */
  close(): void {
    this.#closed = true;
    this.#go();
  }

  #go(): void {
    this.#room?.();
    this.#room = null;
  }
}
