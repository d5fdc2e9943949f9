// The lists: pages, sources, devices, themes. Each is one question and a table.

import { api } from "./api.js";
import { Card, empty } from "./card.js";
import { h } from "./dom.js";
import { duration, label, number, percent } from "./format.js";
import { change, view as current } from "./state.js";
import { footer, table, tabs } from "./table.js";
import { t } from "./texts.js";

export const FOLDED = 8;
const PAGE = 100;
const THEMES = 20; // as many as the API tells at once
const wanted = new Map(); // how many rows of a list the reader wants to see

/** Rows of `question(more)`, as many as are wanted, and whether there are more. */
export async function rowsOf(id, question, limit = PAGE) {
  const most = Math.max(limit, wanted.get(id) ?? 0);
  let { data: rows, meta } = await question({ limit });
  while (meta.next_cursor && rows.length < most) {
    const next = await question({ limit, cursor: meta.next_cursor });
    rows = [...rows, ...next.data];
    meta = next.meta;
  }
  return { rows, more: Boolean(meta.next_cursor) };
}

/** The rows to show, and the foot that unfolds them. */
export function fold(card, id, { rows, more }, foot) {
  const shown = wanted.get(id) ?? FOLDED;
  const complete = !more && shown >= rows.length;
  const onMore = () => {
    wanted.set(id, complete ? FOLDED : shown < PAGE ? PAGE : shown + PAGE);
    if (more && !complete && shown >= PAGE) card().load(current());
    else card().redraw(current());
  };
  return {
    rows: rows.slice(0, shown),
    foot: footer({ ...foot, more: rows.length > FOLDED || more, expanded: complete && shown > FOLDED, onMore }),
  };
}

/** A list with its empty state. */
function listCard(id, { name = id, ask, describe, header = () => null, limit, parameters = () => ({}), none = `none_${id}` }) {
  const card = new Card(id, {
    ask: (view, signal) => rowsOf(id, (more) => ask(view, signal, more), limit),
    show: (answer, view) => {
      const told = describe(view);
      const title = t(id);
      const all = { ...answer, rows: told.arrange ? told.arrange(answer.rows) : answer.rows };
      const { rows, foot } = fold(() => card, id, all, { name, title, parameters: parameters(view) });
      const filtered = Object.keys(view.filters).length > 0;
      const inside = rows.length ? [table({ caption: title, rows, ...told }), foot] : [empty(t(filtered ? "none_filtered" : none))];
      const head = header(view);
      return head
        ? [head, h("div", { id: `${id}-panel`, attrs: { role: "tabpanel" }, aria: { labelledby: `${id}-tab-${view[id]}` } }, inside)]
        : inside;
    },
  });
  return card;
}

const visitors = () => [t("short_visitors"), (row) => number(row.visitors)];
const pick = (by, field) => (row) => (row[field] === "(other)" ? null : [by, row[field]]);

let latest = Promise.resolve([]);

/** The paths that were viewed most, as the list of pages was last told. */
export const topPaths = () => latest;

const PAGE_COLUMNS = {
  all: ["visitors", () => [visitors(), [t("views"), (row) => number(row.views)], [t("seconds"), (row) => duration(row.mean_seconds)]]],
  entries: ["entries", () => [[t("entries"), (row) => number(row.entries)], [t("bounce"), (row) => percent(row.bounce_rate, 0)]]],
  exits: ["exits", () => [[t("exits"), (row) => number(row.exits)], visitors()]],
};

export const pages = () => listCard("pages", {
  ask: (view, signal, more) => {
    const answer = api.pages(view, signal, more);
    if (!more.cursor) latest = answer.then(({ data }) => data.map((row) => row.path), () => []);
    return answer;
  },
  header: (view) => tabs({ id: "pages", names: Object.keys(PAGE_COLUMNS), chosen: view.pages, onChoose: (name) => change({ pages: name }) }),
  describe: (view) => {
    const [by, columns] = PAGE_COLUMNS[view.pages];
    return {
      columns: [[t("page"), (row) => label("path", row.path)], ...columns()],
      size: (row) => row[by],
      pick: pick("path", "path"),
      arrange: by === "visitors" ? null : (rows) => rows.filter((row) => row[by] > 0).sort((one, other) => other[by] - one[by]),
    };
  },
});

/** Sources and devices: who came, by what the tab says; the API narrows by some of them only. */
function visitsBy(id, names, filters) {
  return listCard(id, {
    ask: api[id],
    parameters: (view) => ({ by: view[id] }),
    header: (view) => tabs({ id, names, chosen: view[id], onChoose: (name) => change({ [id]: name }) }),
    describe: (view) => ({
      columns: [
        [t(`tab_${view[id]}`), (row) => label(view[id], row.name)],
        visitors(),
        [t("bounce"), (row) => percent(row.bounce_rate, 0)],
      ],
      size: (row) => row.visitors,
      pick: filters.includes(view[id]) ? pick(view[id], "name") : () => null,
    }),
  });
}

export const sources = () => visitsBy("sources", ["source", "utm_source", "utm_medium", "utm_campaign"], ["source"]);
export const devices = () => visitsBy("devices", ["browser", "os", "device", "language", "screen"], ["browser", "os", "device"]);

export const themes = () => listCard("themes", {
  ask: api.themes,
  limit: THEMES,
  describe: () => ({
    columns: [[t("theme"), (row) => label("theme", row.theme)], visitors(), [t("views"), (row) => number(row.views)]],
    size: (row) => row.views,
    pick: pick("theme", "theme"),
  }),
});
