// The API page: hands /openapi.json to the vendored viewer and follows the reader's colour scheme.
"use strict";

const dark = window.matchMedia("(prefers-color-scheme: dark)");

function followColourScheme() {
  // The viewer has a dark sheet of its own, chosen by this class.
  document.documentElement.classList.toggle("dark-mode", dark.matches);
}

function explain(text) {
  const notice = document.getElementById("notice");
  notice.textContent = text;
  notice.hidden = false;
}

async function show() {
  const main = document.getElementById("api");
  const answer = await fetch("/openapi.json", { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`/openapi.json answered ${answer.status}`);
  const spec = await answer.json();

  const holder = document.createElement("div");
  main.append(holder);
  window.SwaggerUIBundle({
    domNode: holder,
    spec,
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    defaultModelExpandDepth: 2,
    displayRequestDuration: true,
    filter: false,
    // The three settings that keep the page at home: no badge from another host, no settings
    // read from the page's own address, and nothing remembered in the browser.
    validatorUrl: null,
    queryConfigEnabled: false,
    persistAuthorization: false,
  });
}

followColourScheme();
dark.addEventListener("change", followColourScheme);
show().catch((error) => {
  explain(`The API reference could not be loaded (${error.message}). Try again in a moment.`);
});
