// Thread: any
// Messages between processes over a pipe: one line of JSON each, with bytes as base64.

const BYTES = "$bytes";

/** One line. Throws a TypeError for what JSON cannot hold. */
export function encodeLine(message: unknown): Uint8Array<ArrayBuffer> {
  const text = JSON.stringify(
    message,
    (_, value) =>
      value instanceof Uint8Array
        ? { [BYTES]: new Uint8Array(value).toBase64() }
        : value,
  );
  return new TextEncoder().encode(`${text}\n`);
}

/** The message of one line. Throws a SyntaxError for what is none. */
export function decodeLine(line: string): unknown {
  return JSON.parse(line, (_, value) => {
    const bytes = value?.[BYTES];
    return typeof bytes === "string" ? Uint8Array.fromBase64(bytes) : value;
  });
}

/** The messages of a stream until it ends. Throws where a line is none, or longer than `longest` characters. */
export async function* readLines(
  stream: ReadableStream<Uint8Array>,
  longest: number,
): AsyncGenerator<unknown> {
  // Joined when the line is whole: it may come a byte at a time.
  let parts: string[] = [];
  let length = 0;
  for await (
    const text of stream.pipeThrough(
      new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>,
    )
  ) {
    const lines = text.split("\n");
    const rest = lines.pop()!;
    for (const line of lines) {
      yield decodeLine(parts.join("") + line);
      parts = [];
      length = 0;
    }
    parts.push(rest);
    length += rest.length;
    if (length > longest) {
      throw new RangeError(`A message is longer than ${longest} characters`);
    }
  }
}
