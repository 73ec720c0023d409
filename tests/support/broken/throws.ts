// Takes every request for JSON.
import { defineDevice } from "../../../core/plugin.ts";

export default defineDevice({
  id: 0x1234,
  queues: { requestq: 64 },
  create: () => ({
    queues: {
      requestq({ readable, writable }) {
        const bytes = new Uint8Array(readable.remaining);
        readable.read(bytes);
        const { answer } = JSON.parse(new TextDecoder().decode(bytes));
        return writable.write(answer);
      },
    },
  }),
});
