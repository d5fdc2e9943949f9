// Before the first paint: the appearance and the language that the address asks for.
{
  const asked = new URLSearchParams(location.search);
  const root = document.documentElement;
  if (["light", "dark"].includes(asked.get("appearance"))) root.dataset.appearance = asked.get("appearance");
  const own = navigator.languages.find((one) => /^(en|fr)\b/i.test(one)) ?? "en";
  const lang = ["en", "fr"].includes(asked.get("lang")) ? asked.get("lang") : own.slice(0, 2).toLowerCase();
  if (lang !== "en") root.dataset.waiting = "texts"; // the page is written in English
  root.lang = lang;
}
