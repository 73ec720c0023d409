// Thread: any
// Messages between processes over a pipe: one line of JSON each, with bytes as base64.

const BYTES = "$bytes";
/** In front of names that begin with it, so that nobody's data is taken for bytes. */
const ESCAPE = "$";

/** Characters of the longest line. */
export const LONGEST_LINE = 2 ** 20;

/** One line. Throws a TypeError for what JSON cannot hold, a RangeError for what is longer than a line may be. */
export function encodeLine(message: unknown): Uint8Array<ArrayBuffer> {
  const text = JSON.stringify(message, replace);
  if (text.length > LONGEST_LINE) {
    throw new RangeError(
      `A message has ${text.length} characters as JSON, of at most ${LONGEST_LINE}; send it in parts`,
    );
  }
  return new TextEncoder().encode(`${text}\n`);
}

function replace(_key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) {
    return { [BYTES]: new Uint8Array(value).toBase64() };
  }
  return renamed(
    value,
    (name) => name.startsWith(ESCAPE),
    (name) => ESCAPE + name,
  );
}

/** The message of one line. Throws a SyntaxError for what is none. */
function decodeLine(line: string): unknown {
  return JSON.parse(line, line.includes(`"${ESCAPE}`) ? revive : undefined);
}

function revive(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  const bytes = (value as Record<string, unknown>)[BYTES];
  if (typeof bytes === "string") return Uint8Array.fromBase64(bytes);
  return renamed(
    value,
    (name) => name.startsWith(ESCAPE),
    (name) => name.slice(ESCAPE.length),
  );
}

/** The same object unless it has such a name, then one with other names. */
function renamed(
  value: unknown,
  isMeant: (name: string) => boolean,
  rename: (name: string) => string,
): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return value;
  }
  if (!Object.keys(value).some(isMeant)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [
      isMeant(name) ? rename(name) : name,
      each,
    ]),
  );
}

/** The messages of a stream until it ends. Throws where a line is none, or longer than LONGEST_LINE. */
export async function* readLines(
  stream: ReadableStream<Uint8Array>,
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
    if (length > LONGEST_LINE) {
      throw new RangeError(
        `A message is longer than ${LONGEST_LINE} characters`,
      );
    }
  }
}
