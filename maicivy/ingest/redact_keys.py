"""Which keys of event data and which parameters of URLs hold what must not be kept.

A key is read as words: "userEMail", "user-e-mail" and "user.e_mail" are all *user e mail*; accents,
case, digits and a plural's s do not count. The rule, in its order:

1. A key **about** something holds no more than a measure of it: it ends in a word of `ABOUT`
   (`session_duration`, `tokens_used`, `email_campaign`) or begins with one of `QUESTIONS`
   (`is_mobile`, `has_email`). Its value is kept, though looked through like any other.
2. A word of `ALWAYS` (email, phone, password, token …), or a `PHRASES` of several (api key, mot de
   passe), is sensitive wherever it stands; so is a word glued together from one (`useremail`).
3. A word of `BEFORE` is sensitive alone, before one of its own followers (`session_id`), and, if it
   is in `LAST`, at the end (`php_session`); `session_theme` is neither, and a `new_user` is nobody
   in particular.
4. *name* and *nom* are a person's unless the word next to them is one of `THINGS`: `theme_name`,
   `file_name`, `nom_du_fichier` are kept, `name`, `first_name`, `boss_name` are not. In doubt a
   name is a person's: a lost label is seen and put right, a published name is not.
5. In a URL some words that mean nothing elsewhere carry secrets: `?code=`, `?state=`, `?key=`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Longer keys are looked at anew each time, so that the cache stays small.
MAX_CACHED_LENGTH = 64


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


ALWAYS = _set(
    """
    addr address adresse apikey authorization bearer birthdate birthday birthplace cardnumber
    cookie courriel credential creditcard csrf cvc cvv dob email fax firstname forename fullname
    gsm iban ip ipaddress ipv jsessionid jwt lastname maidenname mail mdp middlename motdepasse
    naissance nickname nir nomcomplet nomfamille otp passcode passeport passphrase passport
    passwd password patronyme phone phonenumber phpsessid prenom pseudo pwd realname secret
    sessid sessionid sid ssn street surname tel telefon telephone token totp useragent userid
    username voornaam xsrf
    """
)
_PHRASES = """
    api_key access_key secret_key private_key auth_key license_key licence_key signing_key
    encryption_key ssh_key session_key master_key mot_de_passe mot_passe forwarded_for user_agent
    user_id credit_card debit_card bank_card payment_card carte_bancaire carte_credit account_number
    numero_compte numero_de_compte social_security securite_sociale security_code verification_code
    one_time_code pass_word pass_phrase pass_code user_name nick_name sur_name
    """
PHRASES = re.compile(rf"_(?:{'|'.join(_PHRASES.split())})_")
GLUED_END = tuple(
    _set(
        """
        address apikey cookie courriel email firstname fullname lastname nickname passwd
        password phonenumber prenom secret sessionid surname telephone token username
        """
    )
)
GLUED_BEGINNING = tuple(
    _set(
        """
        apikey authorization cardnumber courriel creditcard motdepasse passwd password
        phonenumber telephone
        """
    )
)

_IDS = "id ids uid uuid key hash data value val string cookie code"
BEFORE = {
    "auth": _set(f"{_IDS} header"),
    "card": _set("number no num nr numero holder cvc exp expiry"),
    "identifiant": _set(_IDS),
    "login": _set(_IDS),
    "mobile": _set("number no num nr numero value val"),
    "pass": _set(_IDS),
    "pin": _set("code number no num nr numero value val"),
    "session": _set(_IDS),
    "user": _set(f"{_IDS} info handle"),
    "utilisateur": _set(_IDS),
}
AUDIENCES = _set("active new per returning unique")
LAST = _set("auth identifiant login mobile pass session user")

QUESTIONS = _set("is has had was are can did should show hide max min total num nb avg")
ABOUT = _set(
    """
    age attempts banner brand button campaign choice click clicked clicks consent copied count
    counter depth duration enabled error errors failed hidden icon index kind length level limit
    method model ms notice opened os policy position preference preferences provider rate ratio
    required score seconds sent shown size source status step strength submitted success
    template timeout total type used valid version views visible
    """
)

NAMES = _set("name names nom noms")
SMALL_WORDS = _set("d de des du for l la le les of the")
THINGS = _set(
    """
    action ad album animation app application article asset attr attribute award badge block
    blog board book brand browser button campaign category certification channel chapter chart
    city class code codec cohort collection color colour column command company component config
    container content continent control country course creative currency database dataset day db
    department device diploma dir directory doc document domain effect element engine entreprise
    entry env environment error etape evenement event exception experiment extension facet
    feature fichier field file film filter flag folder font form format formulaire framework
    function funnel game gesture goal group hook host icon image img industry input interaction
    item job key keyword label lang language langue layer layout lesson letter lettre level
    library link list local locale location market medium menu method metric modal mode model
    module month movie nav navigation network node object offer operation option order org
    organisation organization os package page panel param parameter partner path pays period
    pipeline plan platform playlist plugin poll pop popup position post preset process product
    produit program project projet prop property provider question queue quiz ref referrer
    region repo report repository resource role room route rule scenario school screen script
    search season section segment series server service shape shop shortcut site skill slide
    slot slug snippet song sort sound source stage state station status step store strategy
    style sub subject survey system tab table tag target task team technology template test
    theme tier time timer timezone tool topic track trigger tutorial type unit university utm
    value var variable variant variation vendor version video view ville week widget window
    workflow workspace zone
    """
)

URL_ALONE = _set("challenge code key nonce state ticket verifier")
URL_ALWAYS = _set(
    """
    activation assertion confirmation hmac invitation invite magic relaystate reset samlrequest
    samlresponse sig signature unsubscribe verification
    """
)

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_a-zA-Z]+")


def is_sensitive_key(key: str) -> bool:
    """Whether the value under this key must not be kept, by the rule above without its point 5."""
    return _cached_key(key) if len(key) <= MAX_CACHED_LENGTH else _is_key(key)


def is_sensitive_parameter(key: str) -> bool:
    """Whether the value of this query or fragment parameter must not be kept."""
    return _cached_parameter(key) if len(key) <= MAX_CACHED_LENGTH else _is_parameter(key)


def _is_key(key: str) -> bool:
    words = _words(key)
    return bool(words) and _is_sensitive(words)


def _is_parameter(key: str) -> bool:
    words = _words(key)
    if not words:
        return False
    alone = len(words) == 1 and words[0] in URL_ALONE
    return (
        alone or _is_sensitive(words) or (not _is_about(words) and not URL_ALWAYS.isdisjoint(words))
    )


_cached_key = lru_cache(maxsize=4096)(_is_key)
_cached_parameter = lru_cache(maxsize=4096)(_is_parameter)


def _words(key: str) -> tuple[str, ...]:
    if not key.isascii():
        folded = unicodedata.normalize("NFKD", key)
        key = "".join(char for char in folded if not unicodedata.combining(char))
    return tuple(word.lower() for word in _WORD.findall(key))


def _is_about(words: tuple[str, ...]) -> bool:
    return len(words) > 1 and (words[-1] in ABOUT or words[0] in QUESTIONS)


def _is_sensitive(words: tuple[str, ...]) -> bool:
    if _is_about(words):
        return False
    if any(map(_is_always, words)) or PHRASES.search(f"_{'_'.join(words)}_"):
        return True
    return any(_is_before(words, at) or _is_person_name(words, at) for at in range(len(words)))


def _is_always(word: str) -> bool:
    one = word.removesuffix("s")
    if word in ALWAYS or one in ALWAYS or one.removesuffix("e") in ALWAYS:
        return True
    return one.endswith(GLUED_END) or word.startswith(GLUED_BEGINNING)


def _is_before(words: tuple[str, ...], at: int) -> bool:
    followers = BEFORE.get(words[at])
    if followers is None:
        return False
    if at + 1 < len(words):
        return words[at + 1] in followers
    return at == 0 or (words[at] in LAST and words[at - 1] not in AUDIENCES)


def _is_person_name(words: tuple[str, ...], at: int) -> bool:
    if words[at] not in NAMES:
        return False
    neighbour = words[at - 1] if at else next((w for w in words[1:] if w not in SMALL_WORDS), "")
    return neighbour not in THINGS and neighbour.removesuffix("s") not in THINGS
