// Tells the server what the visitor did. This is the whole of it: no cookie is read, no library
// is loaded, nothing is stored in the browser, and a failure never reaches the page.
//
// Who sends what:
//   opening a page         nothing from here; the server counts the page_view (and its ?theme=) itself
//   a click on [data-track] exactly one event: link_click for <a>, button_click for <button>,
//                          with event_data {button, x, y}, where x and y are page coordinates
//   cv.js, letters.js      the events with a meaning of their own, through track(), besides the click
// The skip link carries no data-track on purpose: who needs the keyboard is nobody's business.

const ENDPOINT = "/api/v1/analytics/event";

/** True when the browser asks not to be tracked; then nothing at all is sent. */
export const optedOut = navigator.globalPrivacyControl === true || navigator.doNotTrack === "1";

/**
 * Send one event and forget about it. It survives leaving the page (keepalive).
 * The page is told through a "maicivy:sent" event on document, with {type, counted}.
 */
export function track(type, data) {
  if (optedOut) return;
  const event = { event_type: type, event_data: data, page_url: location.pathname + location.search };
  post(event).then(
    (counted) => document.dispatchEvent(new CustomEvent("maicivy:sent", { detail: { type, counted } })),
    () => {}, // offline, blocked or refused: the visitor came for the page, not for our numbers
  );
}

async function post(event) {
  const answer = await fetch(ENDPOINT, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(event),
    credentials: "same-origin",
    keepalive: true,
  });
  return answer.status === 201; // 202 means: understood, and deliberately not counted
}

/** Where a click happened on the page; one made with the keyboard happened in the element's middle. */
function position(click, element) {
  if (click.detail > 0) return { x: Math.round(click.pageX), y: Math.round(click.pageY) };
  const box = element.getBoundingClientRect();
  return {
    x: Math.round(box.left + box.width / 2 + window.scrollX),
    y: Math.round(box.top + box.height / 2 + window.scrollY),
  };
}

// Capturing, so that the click is told with the address it happened on, before cv.js changes it.
document.addEventListener(
  "click",
  (click) => {
    const element = click.target.closest?.("[data-track]");
    if (!element) return;
    const type = element instanceof HTMLAnchorElement ? "link_click" : "button_click";
    track(type, { button: element.dataset.track, ...position(click, element) });
  },
  { capture: true },
);
