// Following an order as it moves: server-sent events, and long polling where they do not get through.

import { callAsMe, sendAsMe } from "./session.js";

const NEXT = { pending: "awaiting_payment", awaiting_payment: "confirmed", confirmed: "paid", paid: "fulfilled", refunding: "refunded" };
const POLL_AFTER_FAILURES = 2;

export const isOver = (status) => NEXT[status] === undefined;

/**
 * Calls `onEntry` with every timeline entry after `seq`, in order and once each, until the order is over or `signal`
 * aborts. EventSource cannot send our token, so the stream is read with fetch. `onLink` hears "live", "polling", "lost".
 */
export async function watchOrder(id, { seq, status, onEntry, onLink, signal }) {
  const seen = { seq, status };
  const take = (entry) => {
    if (entry.seq <= seen.seq) return;
    Object.assign(seen, { seq: entry.seq, status: entry.status ?? seen.status });
    onEntry(entry);
  };
  let failures = 0;
  let follow = stream;
  while (!signal.aborted && !isOver(seen.status)) {
    try {
      await follow(id, seen, take, onLink, signal);
      failures = 0;
    } catch (error) {
      if (signal.aborted || error.status === 401 || error.status === 404) return;
      failures += 1;
      if (failures >= POLL_AFTER_FAILURES) follow = poll;
      onLink("lost");
    }
    await pause(Math.min(8000, 500 * 2 ** failures), signal);
  }
}

async function stream(id, seen, take, onLink, signal) {
  const headers = { Accept: "text/event-stream", "Last-Event-ID": String(seen.seq) };
  const response = await sendAsMe(`/orders/${id}/events`, { headers, signal });
  onLink("live");
  for await (const event of events(response.body)) {
    if (event.type === "timeline") take(JSON.parse(event.data));
    if (isOver(seen.status)) return response.body.cancel?.().catch(() => {});
  }
}

async function poll(id, seen, take, onLink, signal) {
  const { items } = await callAsMe(`/orders/${id}/timeline`, { signal });
  onLink("polling");
  const before = seen.seq;
  items.forEach(take);
  if (seen.seq > before || isOver(seen.status)) return; // it may have moved further already
  await callAsMe(`/orders/${id}?wait=20&until=${NEXT[seen.status]}`, { signal });
}

/** The events of a text/event-stream body, as `{type, data}`. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const event = parse(block);
        if (event.data) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parse(block) {
  const event = { type: "message", data: "" };
  for (const line of block.split("\n")) {
    const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (field === "event") event.type = value;
    if (field === "data") event.data += (event.data && "\n") + value;
  }
  return event;
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
