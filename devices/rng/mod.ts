// The entropy device (virtio-v1.3 §5.4): fills what the driver offers with random bytes of the host.
import { defineDevice } from "../../core/plugin.ts";

interface RngOptions {
  /** The most bytes that one request gets. */
  readonly maxBytes: number;
}

// What crypto.getRandomValues gives at once; it takes no shared buffer, so bytes go through this one.
const CHUNK = 65536;

export default defineDevice<RngOptions>(({ options }) => {
  const chunk = new Uint8Array(Math.min(CHUNK, options.maxBytes));
  return {
    id: 4,
    queues: [{
      name: "requestq",
      size: 256,
      handle({ writable }) {
        let left = Math.min(options.maxBytes, writable.remaining);
        let written = 0;
        while (left > 0) {
          const part = chunk.subarray(0, Math.min(left, chunk.length));
          written += writable.write(crypto.getRandomValues(part));
          left -= part.length;
        }
        return written;
      },
    }],
  };
});
