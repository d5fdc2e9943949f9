// The tracker: tells the server what a visitor does on a page of any site; docs/tracker.md describes it.
//
// `make tracker` makes maicivy.js of this file. That one has to stay under 2,000 bytes, and 1,000 with
// gzip, so lists are in the order that packs best, 1 stands for true where that is as good, and what the
// server can find out by itself, such as which links lead to files, is left to it.
//
// It sets no cookie, writes nothing into the browser, and whatever goes wrong goes wrong silently: the
// visitor came for the page.

try {
  // Twice on one page is once: our function has parameters, the one that stands in for it has none.
  self.maicivy?.length ||
    ((document) => {
      const script = document.currentScript;
      // The server puts its own address of the endpoint here if it is configured to have another one.
      const endpoint = new URL(script.dataset.endpoint || "/api/v1/analytics/events", script.src);
      // Events have ids, so that one that is sent twice counts once: a random part that the page's events
      // share, and a number of twelve digits. (Pages without TLS have no crypto.randomUUID.)
      const ids = URL.createObjectURL(new Blob()).slice(-36, -12);
      let sent; // the sending under way, if there is any
      let queue = []; // events, as JSON
      let engaged = 0; // seconds that the visitor looked at the page and the server was not told of
      let place, referrer; // what changes with each page view, and where the visitor was before
      let count = 1e11;
      let since = 0; // when they began to look, in seconds; falsy while they do not
      let url = document.referrer.slice(0, 500); // where the visitor is

      // Sends what waits, all together, once the answer to what was sent before is there: it may bring the
      // cookie. Who leaves does not wait.
      const flush = async (isLast, body) => {
        try {
          isLast || (await sent);
          // A page that is made ahead waits until somebody sees it.
          if (queue[0] && !document.prerendering) {
            body = `{"events":[${queue}]}`;
            queue = [];
            // Calling what cannot be called leads to the second try, as a lost connection does.
            (await fetch(endpoint, { credentials: "include", method: "POST", body, keepalive: 1 })).status <
              429 || body();
          }
        } catch {
          setTimeout(() => navigator.sendBeacon(endpoint, body), 5e3 * Math.random());
        }
      };

      const push = (event_type, event_data, session_duration) => {
        try {
          // A browser in which storage is forbidden throws here, and is left alone too.
          localStorage.maicivy_ignore ||
            navigator.globalPrivacyControl ||
            navigator.doNotTrack == 1 ||
            (queue.push(
              JSON.stringify({
                session_duration,
                referrer,
                event_data,
                event_type,
                event_id: ids + count++,
                page_url: url,
              }),
            ),
            (sent = flush()));
        } catch {}
      };

      // Everything that happens comes here; a change of the address that is no event, as `{}`.
      const handle = (event) => {
        try {
          const now = performance.now() / 1e3;
          const next = location.pathname + (script.dataset.hash && location.hash);
          const isNew = next != place || event.persisted; // back from where the browser kept it as it was
          engaged += since && now - since;
          since = document.hasFocus() && !document.hidden && now;
          // Whole seconds that were not told yet, so that their sum is right; the rest waits.
          if ((engaged | 0) && (document.hidden || isNew)) {
            push("page_leave", { width: innerWidth }, engaged | 0);
            engaged %= 1;
          }
          if (isNew) referrer = url;
          url = location.href.slice(0, 500);
          // A server that has served this page itself has counted it just now, and drops the page_load.
          if (isNew) push(place || document.prerendering ? "page_view" : "page_load", { width: innerWidth });
          place = next;

          // The last button opens a menu. A click without `detail` was made by the keyboard.
          const link = event.button < 2 && event.target.closest("a");
          if ((event.button < 2 && event.detail) || link)
            push("click", { width: innerWidth, x: event.pageX, y: event.pageY, href: link?.href });
          // What may say data-maicivy-event: of a click whatever is around it, of a form that is sent itself.
          const element =
            event.button < 2
              ? event.target.closest("[data-maicivy-event]:not(form)")
              : event.type == "submit" &&
                (push("form_submit", { form: event.target.attributes.id?.value }), event.target);
          const said = {};
          [...element.attributes].map((one) => {
            const [, name] = one.name.split("data-maicivy-");
            if (name) said[name] = one.value;
          });
          const { event: name, ...properties } = said;
          if (name) push(name, properties);
        } catch {}
        sent = flush(document.hidden);
      };

      // At the window and capturing: before the page's own handlers, which may stop it or go elsewhere.
      "click pageshow blur focus auxclick popstate visibilitychange submit"
        .split(" ")
        .map((name) => addEventListener(name, handle, 1));
      "replaceState pushState".split(" ").map((name) => {
        const original = history[name];
        history[name] = (...values) => {
          original.apply(history, values);
          handle({});
        };
      });

      handle({});
      self.maicivy?.q?.map((values) => push(...values));
      self.maicivy = push;
    })(document);
} catch {}
