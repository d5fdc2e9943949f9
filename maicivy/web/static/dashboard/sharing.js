// Links by which others read this view, for who knows the password: they change nothing, and end.

import { api } from "./api.js";
import { fill, h, say } from "./dom.js";
import { day } from "./format.js";
import { print, view } from "./state.js";
import { t } from "./texts.js";
import { snippet } from "./welcome.js";

const DAYS = [1, 7, 30, 365];
const USUAL_DAYS = 7;

/** Show the dialog: a form for a new link, and the links that are good. */
export function open() {
  const made = h("div", { className: "made" });
  const links = h("ul", { className: "links" });
  const dialog = h("dialog", { className: "sharing", aria: { labelledby: "sharing-title" } },
    h("h2", { id: "sharing-title" }, t("share_title")),
    h("p", { className: "soft" }, t("share_what")),
    form(made, links),
    made,
    h("h3", {}, t("share_good")),
    links,
    h("button", { type: "button", className: "quiet", on: { click: () => dialog.close() } }, t("close")));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  list(links);
}

function form(made, links) {
  const name = h("input", { type: "text", maxLength: 50, autocomplete: "off" });
  const days = h("select", {}, DAYS.map((n) => h("option", { value: n, selected: n === USUAL_DAYS }, t("share_days", { n }))));
  const create = async (event) => {
    event.preventDefault();
    const asked = { days: Number(days.value), name: name.value.trim(), view: print(view()).slice(1) };
    await tried(made, async () => {
      const { data } = await api.share(asked);
      fill(made, h("p", {}, t("share_once")), snippet(data.url));
      say(t("share_once"));
      name.value = "";
    });
    list(links);
  };
  return h("form", { on: { submit: create } },
    h("label", {}, t("share_name"), name),
    h("label", {}, t("share_for"), days),
    h("button", { type: "submit", className: "quiet" }, t("share_create")));
}

async function list(links) {
  await tried(links, async () => {
    const { data } = await api.shares();
    fill(links, data.length ? data.map((one) => link(one, links)) : h("li", { className: "soft" }, t("share_none")));
  });
}

function link({ id, name, expires_at: end, last_used_at: used }, links) {
  const called = name || t("share_unnamed");
  const revoke = async () => {
    await tried(links, () => api.unshare(id));
    list(links);
  };
  const when = used ? t("share_used", { day: day(used.slice(0, 10)) }) : t("share_unused");
  return h("li", {}, h("span", {}, called),
    h("span", { className: "soft small-text" }, `${t("share_until", { day: day(end.slice(0, 10)) })} ${when}`),
    h("button", { type: "button", className: "quiet small", aria: { label: t("share_revoke", { name: called }) }, on: { click: revoke } }, t("revoke")));
}

/** Do it, or say in `place` why it could not be done. */
async function tried(place, work) {
  try {
    await work();
  } catch (error) {
    const words = error.status === 0 ? t("unreachable") : error.message || t("failed");
    const said = h("p", { className: "failed", attrs: { role: "alert" } }, words);
    fill(place, place.tagName === "UL" ? h("li", {}, said) : said);
  }
}
