// Thread: irq
// Turns ioeventfds into kicks: the vCPU that wrote QueueNotify never stopped.
import { waitEpoll } from "../sys/epoll.ts";
import { workerScope } from "../sys/worker_scope.ts";
import { CLOSE_TAG, deviceOf, queueOf } from "./kick_tags.ts";
import { kickQueue, wordsOf } from "../virtio/device_page.ts";

/** What main posts once. */
export interface KickWorkerInit {
  readonly epollFd: number;
  /** By device index. */
  readonly devicePages: readonly SharedArrayBuffer[];
}

const WAIT_MS = 1000;
const scope = workerScope<KickWorkerInit, "closed">();

scope.onmessage = ({ data: { epollFd, devicePages } }) => {
  const pages = devicePages.map(wordsOf);
  let closed = false;
  while (!closed) {
    waitEpoll(epollFd, WAIT_MS, (tag) => {
      if (tag === CLOSE_TAG) closed = true;
      else kickQueue(pages[deviceOf(tag)]!, queueOf(tag));
    });
  }
  scope.postMessage("closed");
  scope.close();
};
