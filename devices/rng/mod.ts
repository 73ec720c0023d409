// The entropy device (virtio-v1.3 §5.4): fills what the driver offers with random bytes of the host.
import { defineDevice } from "../../core/plugin.ts";
import { options } from "./options.ts";

// What crypto.getRandomValues gives at once; it takes no shared buffer, so bytes go through this one.
const CHUNK = 65536;

export default defineDevice({
  id: 4,
  queues: { requestq: 256 },
  options,
  create({ options: { maxBytes } }) {
    const chunk = new Uint8Array(Math.min(CHUNK, maxBytes));
    return {
      queues: {
        requestq({ writable }) {
          let left = Math.min(maxBytes, writable.remaining);
          let written = 0;
          while (left > 0) {
            const part = chunk.subarray(0, Math.min(left, chunk.length));
            written += writable.write(crypto.getRandomValues(part));
            left -= part.length;
          }
          return written;
        },
      },
    };
  },
});
