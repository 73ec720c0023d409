// What a case found.

/** Something that should not be. Its message starts with what kind of thing it is, and a colon. */
export class Finding extends Error {
  override readonly name = "Finding";
}
