"""The login page and what it says, in French or English. All pure."""

from __future__ import annotations

import html
import re
from string import Template

# The page loads its style sheet and nothing else, and sends its form to this server only.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_LANGUAGES = ("en", "fr")
_LIKED = re.compile(r"(en|fr)(?:-[a-z0-9-]+)?(?:;q=([01](?:\.\d{0,3})?))?")

_TEXTS = {
    "en": {
        "title": "Log in",
        "lead": "These statistics are behind a password.",
        "password": "Password",
        "button": "Log in",
        "wrong": "That is not the password.",
        "many": "Too many attempts. Try again in a minute.",
        "busy": "The server is busy. Try again in a moment.",
        "gone": "This link is not valid, or no longer. Ask whoever sent it for a new one.",
        "gone_title": "Nothing to see here",
        "instead": "Log in instead",
    },
    "fr": {
        "title": "Connexion",
        "lead": "Ces statistiques sont protégées par un mot de passe.",
        "password": "Mot de passe",
        "button": "Se connecter",
        "wrong": "Mot de passe incorrect.",
        "many": "Trop de tentatives. Réessayez dans une minute.",
        "busy": "Le serveur est occupé. Réessayez dans un instant.",
        "gone": "Ce lien a expiré ou ne mène nulle part. Demandez-en un nouveau à son auteur.",
        "gone_title": "Rien à voir ici",
        "instead": "Se connecter",
    },
}

_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect "
    "width='32' height='32' rx='7' fill='%230b6b5d'/%3E%3Cpath d='M8 22V17M16 22V10M24 22V14' "
    "stroke='%23fff' stroke-width='4' stroke-linecap='round'/%3E%3C/svg%3E"
)
_PAGE = Template(f"""\
<!doctype html>
<html lang="$language">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>$title · maicivy</title>
<link rel="icon" href="{_ICON}">
<link rel="stylesheet" href="/static/login.css">
</head>
<body>
<main>
  <p class="name"><img src="{_ICON}" alt="" width="28" height="28"> maicivy</p>
  <h1>$title</h1>
$content
</main>
</body>
</html>
""")
_FORM = Template("""\
  <p class="lead">$lead</p>
  <form method="post" action="/login">
    $error
    <input type="text" name="username" value="maicivy" autocomplete="username" hidden>
    <label for="password">$password</label>
    <input id="password" name="password" type="password" autocomplete="current-password" \
required autofocus maxlength="500"$invalid>
    <input type="hidden" name="next" value="$next">
    <button type="submit">$button</button>
  </form>""")
_GONE = Template("""\
  <p class="lead">$gone</p>
  $login""")


def login_page(language: str, wanted: str, problem: str | None = None) -> str:
    """Return the page whose form leads on to `wanted`; `problem` is the name of a text."""
    texts = _TEXTS[language]
    error, invalid = "", ""
    if problem is not None:
        error = f'<p class="error" id="error" role="alert">{html.escape(texts[problem])}</p>'
        invalid = ' aria-describedby="error"'
        if problem == "wrong":
            invalid += ' aria-invalid="true"'
    safe = {name: html.escape(text) for name, text in texts.items()}
    content = _FORM.substitute(safe, error=error, invalid=invalid, next=html.escape(wanted))
    return _page(language, texts["title"], content)


def gone_page(language: str, *, login: bool) -> str:
    """Return the page of a share link that leads nowhere; `login` is offered where there is one."""
    texts = _TEXTS[language]
    safe = {name: html.escape(text) for name, text in texts.items()}
    link = f'<p><a href="/login">{safe["instead"]}</a></p>' if login else ""
    return _page(language, texts["gone_title"], _GONE.substitute(safe, login=link))


def language_of(accepted: str) -> str:
    """Return `fr` or `en`, whichever an `Accept-Language` header likes better; `en` if neither."""
    liked = dict.fromkeys(_LANGUAGES, 0.0)
    for part in accepted[:500].lower().split(","):
        found = _LIKED.fullmatch(part.replace(" ", ""))
        if found is not None:
            liked[found[1]] = max(liked[found[1]], float(found[2] or 1))
    return "fr" if liked["fr"] > liked["en"] else "en"


def _page(language: str, title: str, content: str) -> str:
    return _PAGE.substitute(language=language, title=html.escape(title), content=content)
