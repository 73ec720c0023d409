// A web server with one resource, in parts (RFC 9110 §14), that can be made to misbehave.

export interface FileServerOptions {
  /** What goes wrong with a request for these bytes, null for nothing; `count` counts the requests from 1 on. */
  readonly trouble?: (
    count: number,
    first: number,
    last: number,
  ) => Response | Promise<Response> | null;
  /** The resource's version; it may change. */
  readonly etag?: () => string;
}

export class FileServer implements AsyncDisposable {
  readonly url: string;
  /** HOST:PORT, for a permission. */
  readonly host: string;
  /** The ranges that were asked for. */
  readonly ranges: string[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #stop = new AbortController();

  /** Serves `content` on a port of its own on loopback. */
  constructor(
    content: Uint8Array<ArrayBuffer>,
    options: FileServerOptions = {},
  ) {
    const { trouble = () => null, etag = () => '"1"' } = options;
    this.#server = Deno.serve(
      {
        hostname: "127.0.0.1",
        port: 0,
        onListen: () => {},
        signal: this.#stop.signal,
      },
      (request) => {
        const range = request.headers.get("range") ?? "";
        this.ranges.push(range);
        const [first, last] = range.replace("bytes=", "").split("-").map(
          Number,
        ) as [number, number];
        const wrong = trouble(this.ranges.length, first, last);
        if (wrong !== null) return wrong;
        const part = content.slice(first, last + 1);
        const end = first + part.length - 1;
        const headers = {
          "content-range": `bytes ${first}-${end}/${content.length}`,
          "etag": etag(),
        };
        return new Response(part, { status: 206, headers });
      },
    );
    const { port } = this.#server.addr;
    this.host = `127.0.0.1:${port}`;
    this.url = `http://${this.host}/disk.img`;
  }

  /** Ends at once, in the middle of whatever it does. */
  async die(): Promise<void> {
    this.#stop.abort();
    await this.#server.finished;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.die();
  }
}
