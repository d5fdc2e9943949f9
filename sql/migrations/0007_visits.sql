-- What was stored and is not yet in the visits and rollups below: the events of one batch, or, where
-- `ids` is NULL, all from `first_at` to `last_at`. Written in the transaction of the events; whoever
-- reads a report takes what is here first (`fold_events`), so that a report lags behind nothing.
CREATE TABLE unfolded_events (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    first_at timestamptz NOT NULL,
    last_at  timestamptz NOT NULL,
    events   integer NOT NULL,
    ids      uuid[]
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);

-- One row a visit, which ends after 30 minutes without an event and at midnight. What happened in it
-- is told by parallel lists: how many events of which type on which path (and theme), and the seconds
-- of attention that were reported for it. NULL stands for what is not known, and for no page at all.
CREATE SEQUENCE visit_ids;
CREATE TABLE visits (
    id           bigint PRIMARY KEY,
    visitor_id   uuid NOT NULL,
    day          date NOT NULL,
    started_at   timestamptz NOT NULL,
    last_at      timestamptz NOT NULL,
    entry        text,
    exit         text,
    source       text NOT NULL,
    utm_source   text,
    utm_medium   text,
    utm_campaign text,
    browser      text NOT NULL,
    os           text NOT NULL,
    device       text NOT NULL,
    language     text NOT NULL,
    screen       text,
    events       integer NOT NULL,
    page_views   integer NOT NULL,
    actions      integer NOT NULL,
    letters      integer NOT NULL,
    types        text[] NOT NULL,
    paths        text[] NOT NULL,
    themes       text[] NOT NULL,
    counts       integer[] NOT NULL,
    seconds      integer[] NOT NULL
) WITH (fillfactor = 80);

CREATE INDEX idx_visits_visitor_id ON visits (visitor_id, last_at);
CREATE INDEX idx_visits_day ON visits (day);

-- The last local day on which a visitor had each value of each dimension, by the value's hash and in
-- days since 2000: what tells who is counted for the first time in a span of days. Kept for as long as
-- a visitor's cookie.
CREATE TABLE visitor_marks (
    visitor_id uuid PRIMARY KEY,
    last_day   date NOT NULL,
    keys       integer[] NOT NULL,
    days       smallint[] NOT NULL
) WITH (fillfactor = 80);

-- Rollups of a local day by the value of a dimension. `visitors[k]` is how many visitors of the day had
-- not had this value in the k - 1 days before, so visitors[1] is all of them; the unique visitors of
-- the days from f to t are the sum of visitors[least(day - f + 1, 32)] of those days, exactly.
CREATE TABLE rollup_values (
    day       date NOT NULL,
    dimension text NOT NULL,
    value     text COLLATE "C" NOT NULL,
    visitors  integer[] NOT NULL,
    visits    integer NOT NULL DEFAULT 0,
    bounces   integer NOT NULL DEFAULT 0,
    seconds   bigint NOT NULL DEFAULT 0,
    events    integer NOT NULL DEFAULT 0,
    views     integer NOT NULL DEFAULT 0,
    letters   integer NOT NULL DEFAULT 0,
    entries   integer NOT NULL DEFAULT 0,
    exits     integer NOT NULL DEFAULT 0,
    PRIMARY KEY (dimension, day, value)
) WITH (fillfactor = 70);

CREATE TABLE rollup_hours (
    hour     timestamptz PRIMARY KEY,
    visitors integer NOT NULL,
    visits   integer NOT NULL,
    events   integer NOT NULL,
    views    integer NOT NULL,
    letters  integer NOT NULL
) WITH (fillfactor = 70);

-- How many visits of a day took so long: by the second up to ten minutes, by the minute beyond.
CREATE TABLE rollup_durations (
    day     date NOT NULL,
    seconds integer NOT NULL,
    visits  integer NOT NULL,
    PRIMARY KEY (day, seconds)
) WITH (fillfactor = 70);

-- Whom a referrer's host, or the end of one, belongs to.
CREATE TABLE source_names (
    host text PRIMARY KEY,
    name text NOT NULL
);

INSERT INTO source_names (host, name) VALUES
    ('google.com', 'Google'), ('com.google.android.googlequicksearchbox', 'Google'),
    ('news.google.com', 'Google News'), ('mail.google.com', 'Gmail'),
    ('com.google.android.gm', 'Gmail'), ('scholar.google.com', 'Google Scholar'),
    ('gemini.google.com', 'Gemini'), ('bing.com', 'Bing'), ('duckduckgo.com', 'DuckDuckGo'),
    ('com.duckduckgo.mobile.android', 'DuckDuckGo'), ('ecosia.org', 'Ecosia'), ('qwant.com', 'Qwant'),
    ('startpage.com', 'Startpage'), ('search.brave.com', 'Brave'), ('yandex.ru', 'Yandex'),
    ('yandex.com', 'Yandex'), ('ya.ru', 'Yandex'), ('baidu.com', 'Baidu'),
    ('search.yahoo.com', 'Yahoo'), ('kagi.com', 'Kagi'), ('news.ycombinator.com', 'Hacker News'),
    ('hckrnews.com', 'Hacker News'), ('lobste.rs', 'Lobsters'), ('reddit.com', 'Reddit'),
    ('com.reddit.frontpage', 'Reddit'), ('twitter.com', 'X'), ('x.com', 'X'), ('t.co', 'X'),
    ('facebook.com', 'Facebook'), ('fb.com', 'Facebook'), ('fb.me', 'Facebook'),
    ('instagram.com', 'Instagram'), ('threads.net', 'Threads'), ('threads.com', 'Threads'),
    ('bsky.app', 'Bluesky'), ('mastodon.social', 'Mastodon'), ('linkedin.com', 'LinkedIn'),
    ('lnkd.in', 'LinkedIn'), ('com.linkedin.android', 'LinkedIn'), ('xing.com', 'Xing'),
    ('indeed.com', 'Indeed'), ('glassdoor.com', 'Glassdoor'), ('welcometothejungle.com', 'Welcome to the Jungle'),
    ('malt.fr', 'Malt'), ('malt.com', 'Malt'), ('github.com', 'GitHub'), ('gitlab.com', 'GitLab'),
    ('stackoverflow.com', 'Stack Overflow'), ('stackexchange.com', 'Stack Exchange'),
    ('dev.to', 'DEV'), ('medium.com', 'Medium'), ('substack.com', 'Substack'),
    ('youtube.com', 'YouTube'), ('youtu.be', 'YouTube'), ('vimeo.com', 'Vimeo'),
    ('tiktok.com', 'TikTok'), ('pinterest.com', 'Pinterest'), ('quora.com', 'Quora'),
    ('wikipedia.org', 'Wikipedia'), ('producthunt.com', 'Product Hunt'), ('slack.com', 'Slack'),
    ('com.slack', 'Slack'), ('discord.com', 'Discord'), ('t.me', 'Telegram'),
    ('org.telegram.messenger', 'Telegram'), ('whatsapp.com', 'WhatsApp'), ('wa.me', 'WhatsApp'),
    ('outlook.live.com', 'Outlook'), ('outlook.office.com', 'Outlook'), ('mail.yahoo.com', 'Yahoo Mail'),
    ('mail.proton.me', 'Proton Mail'), ('chatgpt.com', 'ChatGPT'), ('chat.openai.com', 'ChatGPT'),
    ('perplexity.ai', 'Perplexity'), ('claude.ai', 'Claude'), ('copilot.microsoft.com', 'Copilot');

-- The path of a page: its URL without query and fragment.
CREATE FUNCTION event_path(page_url text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN split_part(split_part(page_url, '#', 1), '?', 1);

-- The value of a parameter of a page's URL, decoded; what is no UTF-8 stays as it is. NULL without.
CREATE FUNCTION url_parameter(page_url text, name text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    raw text := substring(split_part(page_url, '#', 1) FROM '[?&]' || name || '=([^&]*)');
    bytes bytea := ''; part text;
BEGIN
    IF raw IS NULL OR raw = '' THEN RETURN NULL; END IF;
    raw := replace(raw, '+', ' ');
    IF position('%' IN raw) = 0 THEN RETURN raw; END IF;
    FOR part IN SELECT m[1] FROM regexp_matches(raw, '(%[0-9A-Fa-f]{2}|[^%]+|%)', 'g') AS m LOOP
        bytes := bytes || CASE WHEN part ~ '^%[0-9A-Fa-f]{2}$' THEN decode(substr(part, 2), 'hex')
            ELSE convert_to(part, 'UTF8') END;
    END LOOP;
    RETURN convert_from(bytes, 'UTF8');
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
    RETURN raw;
END
$$;

-- The theme that an event is a view of, as the program counts it; NULL for all others.
CREATE FUNCTION event_theme(event_type text, event_data jsonb, page_url text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN event_type = 'cv_theme_change'
        OR (event_type = 'page_view' AND page_url ~ '^([A-Za-z]+://[^/?#]*)?/cv(/|\?|#|$)')
    THEN substring(lower(CASE
        WHEN coalesce(event_data ->> 'theme', '') <> '' THEN
            CASE jsonb_typeof(event_data -> 'theme') WHEN 'string' THEN event_data ->> 'theme' END
        ELSE url_parameter(page_url, 'theme') END)
        FROM '^[a-z0-9][a-z0-9_-]{0,49}$') END;

-- What an event said of itself: the names of its properties, or the value of the one called `property`.
CREATE FUNCTION event_properties(event_data jsonb, property text) RETURNS SETOF text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT left(name, 500)
    FROM jsonb_object_keys(CASE jsonb_typeof(event_data) WHEN 'object' THEN event_data ELSE '{}' END) AS name
    WHERE property IS NULL
    UNION ALL
    SELECT left(event_data ->> property, 500)
    WHERE jsonb_typeof(event_data) = 'object' AND event_data ? property
$$;

-- The host of a URL, without a port and without `www.`; NULL for a path.
CREATE FUNCTION url_host(url text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN lower(substring(url FROM '^[A-Za-z-]+://(?:[^/?#@]*@)?(?:www\.)?([^/?#:]+)'));

-- Where a visit came from: a name that `utm_source` or the referrer's host is known under, or these
-- themselves; `(direct)` for a visit that says nothing, and for one from the site itself.
CREATE FUNCTION visit_source(referrer text, page_url text, utm_source text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    host text := url_host(referrer);
    rest text; found text;
BEGIN
    IF utm_source IS NOT NULL THEN
        SELECT name INTO found FROM source_names WHERE lower(name) = lower(utm_source) LIMIT 1;
        RETURN coalesce(found, utm_source);
    END IF;
    IF host IS NULL OR host = url_host(page_url) THEN RETURN '(direct)'; END IF;
    rest := host;
    WHILE rest <> '' LOOP
        SELECT name INTO found FROM source_names WHERE source_names.host = rest;
        IF found IS NOT NULL THEN RETURN found; END IF;
        rest := CASE WHEN position('.' IN rest) > 0 THEN substr(rest, position('.' IN rest) + 1) ELSE '' END;
    END LOOP;
    IF host ~ '(^|\.)google(\.[a-z]{2,3}){1,2}$' THEN RETURN 'Google'; END IF;
    RETURN host;
END
$$;

-- The class of a viewport's width, in CSS pixels; NULL when it was not told.
CREATE FUNCTION screen_class(width jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN event_coordinate(width) > 0 THEN CASE
    WHEN event_coordinate(width) < 576 THEN 'under 576'
    WHEN event_coordinate(width) < 992 THEN '576 to 991'
    WHEN event_coordinate(width) < 1440 THEN '992 to 1439'
    ELSE '1440 and more' END END;

-- The sums of two lists of counts, place by place.
CREATE FUNCTION add_counts(a integer[], b integer[]) RETURNS integer[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT array_agg(coalesce(x, 0) + coalesce(y, 0) ORDER BY n)
        FROM unnest(a, b) WITH ORDINALITY AS t (x, y, n));

-- Bring up to `at_most` events, and the rest of the last batch, into visits and rollups; answers how
-- many. Days are those of `zone`. Only one at a time may do it (the caller holds a lock).
CREATE FUNCTION fold_events(zone text, at_most integer) RETURNS integer
LANGUAGE plpgsql SET enable_nestloop = off SET enable_mergejoin = off AS $$
DECLARE
    folded integer;
BEGIN
WITH taken AS MATERIALIZED (
    DELETE FROM unfolded_events WHERE id IN (
        SELECT id FROM (
            SELECT id, sum(u.events) OVER (ORDER BY id) - u.events AS before
            FROM (SELECT * FROM unfolded_events ORDER BY id LIMIT 1000) AS u
        ) AS weighed WHERE before < at_most
    ) RETURNING first_at, last_at, ids
),
arrived AS MATERIALIZED (
    SELECT e.id, e.visitor_id, e.created_at, e.event_type::text AS type, e.referrer, e.page_url,
           (e.created_at AT TIME ZONE zone)::date AS day,
           date_trunc('hour', e.created_at, zone) AS hour,
           event_path(e.page_url) AS path,
           event_theme(e.event_type, e.event_data, e.page_url) AS theme,
           screen_class(e.event_data -> 'width') AS screen,
           e.event_type = 'page_view' AS is_view,
           e.event_type NOT IN ('page_view', 'page_leave', 'click') AS is_action,
           e.event_type = 'letter_generate' AS is_letter,
           CASE WHEN e.event_type = 'page_leave' THEN least(e.session_duration, 86400) ELSE 0 END
               AS seconds
    FROM events AS e
    WHERE e.created_at >= (SELECT min(first_at) FROM taken)
      AND e.created_at <= (SELECT max(last_at) FROM taken)
      AND e.block_to >= (SELECT min(first_at) FROM taken)
      AND e.block_from <= (SELECT max(last_at) FROM taken)
      AND (e.id IN (SELECT unnest(ids) FROM taken)
           OR EXISTS (SELECT FROM taken AS t
                      WHERE t.ids IS NULL AND e.created_at BETWEEN t.first_at AND t.last_at))
),
who AS MATERIALIZED (
    SELECT DISTINCT visitor_id FROM arrived
),
latest AS MATERIALIZED (
    SELECT v.*
    FROM who
    CROSS JOIN LATERAL (
        SELECT * FROM visits WHERE visitor_id = who.visitor_id ORDER BY last_at DESC LIMIT 1
    ) AS v
),
numbered AS MATERIALIZED (
    SELECT *, sum(starts::integer) OVER (PARTITION BY visitor_id ORDER BY created_at, id) AS n
    FROM (
        SELECT a.*,
               coalesce(a.hour > date_trunc('hour', coalesce(a.before_at, l.last_at), zone), true)
                   AS is_hours_first,
               coalesce(a.day <> coalesce(a.before_day, l.day)
                   OR a.created_at > coalesce(a.before_at, l.last_at) + interval '30 minutes', true)
                   AS starts
        FROM (
            SELECT *, lag(created_at) OVER w AS before_at, lag(day) OVER w AS before_day
            FROM arrived
            WINDOW w AS (PARTITION BY visitor_id ORDER BY created_at, id)
        ) AS a
        LEFT JOIN latest AS l ON l.visitor_id = a.visitor_id
    ) AS begun
),
parts AS (
    SELECT visitor_id, n, min(day) AS day, min(created_at) AS started_at, max(created_at) AS last_at,
           count(*)::integer AS events,
           count(*) FILTER (WHERE is_view)::integer AS page_views,
           count(*) FILTER (WHERE is_action)::integer AS actions,
           count(*) FILTER (WHERE is_letter)::integer AS letters,
           (array_agg(path ORDER BY created_at, id) FILTER (WHERE is_view AND path <> ''))[1] AS entry,
           (array_agg(path ORDER BY created_at DESC, id DESC)
               FILTER (WHERE is_view AND path <> ''))[1] AS exit,
           (array_agg(referrer ORDER BY created_at, id))[1] AS referrer,
           (array_agg(page_url ORDER BY created_at, id))[1] AS page_url,
           (array_agg(screen ORDER BY created_at, id) FILTER (WHERE screen IS NOT NULL))[1] AS screen
    FROM numbered
    GROUP BY visitor_id, n
),
lists AS (
    SELECT visitor_id, n, array_agg(type) AS types, array_agg(path) AS paths,
           array_agg(theme) AS themes, array_agg(count) AS counts, array_agg(seconds) AS seconds
    FROM (
        SELECT *, row_number() OVER (PARTITION BY visitor_id, n) AS place
        FROM (
            SELECT visitor_id, n, type, path, theme, sum(count)::integer AS count,
                   -- who lies about them may not keep everybody's events from being folded
                   least(sum(seconds), 1000000000)::integer AS seconds
            FROM (
                SELECT visitor_id, n, type, path, theme, 1 AS count, seconds FROM numbered
                UNION ALL
                SELECT l.visitor_id, 0, f.type, f.path, f.theme, f.count, f.seconds
                FROM latest AS l
                JOIN parts AS p ON p.visitor_id = l.visitor_id AND p.n = 0
                CROSS JOIN LATERAL unnest(l.types, l.paths, l.themes, l.counts, l.seconds)
                    AS f (type, path, theme, count, seconds)
            ) AS told
            GROUP BY visitor_id, n, type, path, theme
        ) AS facts
    ) AS placed
    WHERE place <= 300
    GROUP BY visitor_id, n
),
changed AS MATERIALIZED (
    SELECT l.id, p.visitor_id, p.day,
           least(l.started_at, p.started_at) AS started_at, greatest(l.last_at, p.last_at) AS last_at,
           coalesce(l.entry, p.entry) AS entry, coalesce(p.exit, l.exit) AS exit,
           coalesce(l.source, visit_source(p.referrer, p.page_url, u.utm_source)) AS source,
           coalesce(l.utm_source, u.utm_source) AS utm_source,
           coalesce(l.utm_medium, u.utm_medium) AS utm_medium,
           coalesce(l.utm_campaign, u.utm_campaign) AS utm_campaign,
           coalesce(l.browser, w.browser) AS browser, coalesce(l.os, w.os) AS os,
           coalesce(l.device, w.device) AS device, coalesce(l.language, w.language) AS language,
           coalesce(l.screen, p.screen) AS screen,
           p.events + coalesce(l.events, 0) AS events,
           p.page_views + coalesce(l.page_views, 0) AS page_views,
           p.actions + coalesce(l.actions, 0) AS actions,
           p.letters + coalesce(l.letters, 0) AS letters,
           f.types, f.paths, f.themes, f.counts, f.seconds
    FROM parts AS p
    JOIN lists AS f ON f.visitor_id = p.visitor_id AND f.n = p.n
    CROSS JOIN LATERAL (SELECT * FROM visitors WHERE id = p.visitor_id LIMIT 1) AS w
    LEFT JOIN latest AS l ON l.visitor_id = p.visitor_id AND p.n = 0
    CROSS JOIN LATERAL (
        SELECT CASE WHEN l.id IS NULL AND p.page_url LIKE '%utm%' THEN p.page_url END AS page_url
    ) AS start
    CROSS JOIN LATERAL (
        SELECT url_parameter(start.page_url, 'utm_source') AS utm_source,
               url_parameter(start.page_url, 'utm_medium') AS utm_medium,
               url_parameter(start.page_url, 'utm_campaign') AS utm_campaign
        OFFSET 0
    ) AS u
),
kept AS (
    INSERT INTO visits AS v
        (id, visitor_id, day, started_at, last_at, entry, exit, source, utm_source, utm_medium,
         utm_campaign, browser, os, device, language, screen, events, page_views, actions, letters,
         types, paths, themes, counts, seconds)
    SELECT coalesce(id, nextval('visit_ids')), visitor_id, day, started_at, last_at, entry,
           exit, source, utm_source, utm_medium, utm_campaign, browser, os, device, language, screen,
           events, page_views, actions, letters, types, paths, themes, counts, seconds
    FROM changed
    ON CONFLICT (id) DO UPDATE
        SET started_at = excluded.started_at, last_at = excluded.last_at, entry = excluded.entry,
            exit = excluded.exit, screen = excluded.screen, events = excluded.events,
            page_views = excluded.page_views,
            actions = excluded.actions, letters = excluded.letters, types = excluded.types,
            paths = excluded.paths, themes = excluded.themes, counts = excluded.counts,
            seconds = excluded.seconds
),
-- each visit that changed, as it is now (sign 1) and as it was (sign -1)
sides AS MATERIALIZED (
    SELECT 1 AS sign, visitor_id, day, started_at, last_at, entry, exit, source, utm_source,
           utm_medium, utm_campaign, browser, os, device, language, screen,
           (page_views = 1 AND actions = 0)::integer AS bounced,
           extract(epoch FROM last_at - started_at)::integer AS seconds
    FROM changed
    UNION ALL
    SELECT -1, l.visitor_id, l.day, l.started_at, l.last_at, l.entry, l.exit, l.source, l.utm_source,
           l.utm_medium, l.utm_campaign, l.browser, l.os, l.device, l.language, l.screen,
           (l.page_views = 1 AND l.actions = 0)::integer,
           extract(epoch FROM l.last_at - l.started_at)::integer
    FROM latest AS l
    JOIN changed AS c ON c.id = l.id
),
deltas AS MATERIALIZED (
    SELECT s.day, d.dimension, d.value, s.visitor_id, s.sign AS visits, s.sign * s.bounced AS bounces,
           s.sign * s.seconds AS seconds, 0 AS events, 0 AS views, 0 AS letters, 0 AS entries,
           0 AS exits, s.sign = 1 AS is_visitor
    FROM sides AS s
    CROSS JOIN LATERAL (VALUES
        ('all', ''), ('source', s.source), ('utm_source', s.utm_source),
        ('utm_medium', s.utm_medium), ('utm_campaign', s.utm_campaign), ('browser', s.browser),
        ('os', s.os), ('device', s.device), ('language', s.language),
        ('screen', s.screen)
    ) AS d (dimension, value)
    WHERE d.value IS NOT NULL
    UNION ALL
    SELECT day, 'path', entry, visitor_id, 0, sign * bounced, 0, 0, 0, 0, sign, 0, false
    FROM sides WHERE entry IS NOT NULL
    UNION ALL
    SELECT day, 'path', exit, visitor_id, 0, 0, 0, 0, 0, 0, 0, sign, false
    FROM sides WHERE exit IS NOT NULL
    UNION ALL
    SELECT n.day, d.dimension, d.value, n.visitor_id, 0, 0, sum(d.seconds), count(*),
           count(*) FILTER (WHERE d.is_view), count(*) FILTER (WHERE is_letter), 0, 0,
           bool_or(d.is_visitor)
    FROM numbered AS n
    CROSS JOIN LATERAL (VALUES
        ('all', '', 0, n.is_view, true), ('event_type', n.type, 0, false, true),
        ('path', nullif(n.path, ''), n.seconds, n.is_view, n.is_view),
        ('theme', n.theme, 0, true, true)
    ) AS d (dimension, value, seconds, is_view, is_visitor)
    WHERE d.value IS NOT NULL
    GROUP BY 1, 2, 3, 4
),
-- at most 1,000 values of a dimension a day have a row; all others share one
named AS MATERIALIZED (
    SELECT f.day, f.dimension, f.value,
           CASE WHEN r.value IS NOT NULL
               OR coalesce(k.known, 0) + row_number() OVER (
                   PARTITION BY f.day, f.dimension, r.value IS NULL ORDER BY f.weight DESC, f.value
               ) <= 1000 THEN f.value ELSE '(other)' END AS name
    FROM (SELECT day, dimension, value, count(*) AS weight FROM deltas GROUP BY 1, 2, 3) AS f
    LEFT JOIN rollup_values AS r USING (day, dimension, value)
    LEFT JOIN LATERAL (
        SELECT count(*) AS known FROM rollup_values AS o
        WHERE o.day = f.day AND o.dimension = f.dimension AND r.value IS NULL
    ) AS k ON true
),
old_marks AS MATERIALIZED (
    SELECT m.visitor_id, u.key, date '2000-01-01' + u.day AS day
    FROM who
    CROSS JOIN LATERAL (
        SELECT * FROM visitor_marks WHERE visitor_id = who.visitor_id LIMIT 1
    ) AS m
    CROSS JOIN LATERAL unnest(m.keys, m.days) AS u (key, day)
),
marked AS MATERIALIZED (
    SELECT visitor_id, p.day, dimension, name, key,
           greatest(lag(p.day) OVER (PARTITION BY visitor_id, key ORDER BY p.day), old.day) AS before
    FROM (
        SELECT DISTINCT d.visitor_id, d.day, d.dimension, m.name, k.key
        FROM deltas AS d
        JOIN named AS m USING (day, dimension, value)
        CROSS JOIN LATERAL (SELECT hashtext(d.dimension || ':' || m.name) AS key) AS k
        WHERE d.is_visitor
    ) AS p
    LEFT JOIN old_marks AS old USING (visitor_id, key)
),
remembered AS (
    INSERT INTO visitor_marks AS v (visitor_id, last_day, keys, days)
    SELECT visitor_id, max(day), array_agg(key), array_agg((day - date '2000-01-01')::smallint)
    FROM (
        SELECT visitor_id, key, max(day) AS day,
               row_number() OVER (PARTITION BY visitor_id ORDER BY max(day) DESC) AS place,
               max(max(day)) OVER (PARTITION BY visitor_id) AS last_day
        FROM (
            SELECT visitor_id, key, day FROM marked
            UNION ALL
            SELECT visitor_id, key, day FROM old_marks
        ) AS known
        GROUP BY visitor_id, key
    ) AS newest
    WHERE place <= 300 AND day > last_day - 31
    GROUP BY visitor_id
    ON CONFLICT (visitor_id) DO UPDATE
        SET last_day = excluded.last_day, keys = excluded.keys, days = excluded.days
),
fresh AS (
    SELECT day, dimension, name, array_agg(visitors ORDER BY k) AS visitors
    FROM (
        SELECT g.day, g.dimension, g.name, k,
               coalesce(sum(g.visitors) FILTER (WHERE g.gap IS NULL OR g.gap >= k), 0)::integer
                   AS visitors
        FROM (
            SELECT day, dimension, name, nullif(least(day - before, 32), 32) AS gap,
                   count(*) AS visitors
            FROM marked
            WHERE before IS NULL OR before < day
            GROUP BY 1, 2, 3, 4
        ) AS g
        CROSS JOIN generate_series(1, 32) AS k
        GROUP BY 1, 2, 3, 4
    ) AS counted
    GROUP BY 1, 2, 3
),
rolled AS (
    INSERT INTO rollup_values AS r
        (day, dimension, value, visitors, visits, bounces, seconds, events, views, letters, entries,
         exits)
    SELECT day, dimension, name, coalesce(f.visitors, array_fill(0, ARRAY[32])), s.visits, s.bounces,
           s.seconds, s.events, s.views, s.letters, s.entries, s.exits
    FROM (
        SELECT day, dimension, name, sum(visits) AS visits, sum(bounces) AS bounces,
               sum(seconds) AS seconds, sum(events) AS events, sum(views) AS views,
               sum(letters) AS letters, sum(entries) AS entries, sum(exits) AS exits
        FROM deltas
        JOIN named USING (day, dimension, value)
        GROUP BY 1, 2, 3
    ) AS s
    LEFT JOIN fresh AS f USING (day, dimension, name)
    ON CONFLICT (dimension, day, value) DO UPDATE
        SET visitors = CASE WHEN excluded.visitors[1] = 0 THEN r.visitors
                ELSE add_counts(r.visitors, excluded.visitors) END,
            visits = r.visits + excluded.visits, bounces = r.bounces + excluded.bounces,
            seconds = r.seconds + excluded.seconds, events = r.events + excluded.events,
            views = r.views + excluded.views, letters = r.letters + excluded.letters,
            entries = r.entries + excluded.entries, exits = r.exits + excluded.exits
),
by_hour AS (
    INSERT INTO rollup_hours AS r (hour, visitors, visits, events, views, letters)
    SELECT hour, count(*) FILTER (WHERE is_hours_first), count(*) FILTER (WHERE starts), count(*),
           count(*) FILTER (WHERE is_view), count(*) FILTER (WHERE is_letter)
    FROM numbered
    GROUP BY hour
    ON CONFLICT (hour) DO UPDATE
        SET visitors = r.visitors + excluded.visitors, visits = r.visits + excluded.visits,
            events = r.events + excluded.events, views = r.views + excluded.views,
            letters = r.letters + excluded.letters
),
by_duration AS (
    INSERT INTO rollup_durations AS r (day, seconds, visits)
    SELECT day, CASE WHEN seconds < 600 THEN seconds ELSE least(seconds / 60, 1440) * 60 END,
           sum(sign)
    FROM sides
    GROUP BY 1, 2
    HAVING sum(sign) <> 0
    ON CONFLICT (day, seconds) DO UPDATE SET visits = r.visits + excluded.visits
)
SELECT count(*) INTO folded FROM arrived;
RETURN folded;
END
$$;

-- Visits of closed days, up to 2,000 of one day in a row, column by column, which PostgreSQL
-- compresses well. What repeats is kept once in a list (`visitor_ids`; `paths`; `origins`: [source,
-- utm_source, utm_medium, utm_campaign]; `clients`: [browser, os, device, language, screen]; `kinds`:
-- [type, path, theme, first, last]), and visits hold its places there; place 0 of `paths` is for those
-- that saw no page. A kind's facts are those from `first` to `last`, one for each visit that has it.
-- `types` ([type, first, last]) are the same of types alone, half as many.
CREATE TABLE visit_blocks (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    day          date NOT NULL,
    base_at      timestamptz NOT NULL,
    visits       integer NOT NULL,
    visitor_ids  uuid[] NOT NULL,
    origins      jsonb NOT NULL,
    clients      jsonb NOT NULL,
    paths        jsonb NOT NULL,
    kinds        jsonb NOT NULL,
    visitor      smallint[] NOT NULL,
    started_ms   integer[] NOT NULL,
    took_ms      integer[] NOT NULL,
    entry        smallint[] NOT NULL,
    exit         smallint[] NOT NULL,
    origin       smallint[] NOT NULL,
    client       smallint[] NOT NULL,
    events       integer[] NOT NULL,
    page_views   integer[] NOT NULL,
    actions      integer[] NOT NULL,
    letters      integer[] NOT NULL,
    fact_visit   smallint[] NOT NULL,
    fact_count   integer[] NOT NULL,
    fact_seconds integer[] NOT NULL,
    types        jsonb NOT NULL,
    type_visit   smallint[] NOT NULL,
    type_count   integer[] NOT NULL
);

CREATE INDEX idx_visit_blocks_day ON visit_blocks (day);

-- Move up to 2,000 visits of a closed day into a block; answers how many.
CREATE FUNCTION pack_visits(closed_day date) RETURNS integer
LANGUAGE plpgsql SET enable_nestloop = off SET enable_mergejoin = off AS $$
DECLARE
    packed integer;
BEGIN
WITH moved AS MATERIALIZED (
    DELETE FROM visits
    WHERE id = ANY(ARRAY(SELECT id FROM visits WHERE day = closed_day ORDER BY visitor_id, id LIMIT 2000))
    RETURNING *
),
told AS MATERIALIZED (
    SELECT *, row_number() OVER (ORDER BY visitor_id, started_at, id)::smallint AS n,
           dense_rank() OVER (ORDER BY visitor_id)::smallint AS visitor,
           jsonb_build_array(source, utm_source, utm_medium, utm_campaign)::text COLLATE "C" AS origin,
           jsonb_build_array(browser, os, device, language, screen)::text COLLATE "C" AS client
    FROM moved
),
facts AS MATERIALIZED (
    SELECT t.n, f.type COLLATE "C" AS type, f.path COLLATE "C" AS path, f.theme COLLATE "C" AS theme,
           f.count, f.seconds,
           row_number() OVER (ORDER BY f.type COLLATE "C", f.path COLLATE "C", f.theme COLLATE "C", t.n)
               AS place
    FROM told AS t
    CROSS JOIN LATERAL unnest(t.types, t.paths, t.themes, t.counts, t.seconds)
        AS f (type, path, theme, count, seconds)
),
paths AS (
    SELECT path, (row_number() OVER (ORDER BY path))::smallint AS place
    FROM (SELECT entry COLLATE "C" AS path FROM told UNION SELECT exit FROM told) AS t
    WHERE path IS NOT NULL
),
origins AS (
    SELECT origin, (row_number() OVER (ORDER BY origin) - 1)::smallint AS place
    FROM (SELECT DISTINCT origin FROM told) AS t
),
clients AS (
    SELECT client, (row_number() OVER (ORDER BY client) - 1)::smallint AS place
    FROM (SELECT DISTINCT client FROM told) AS t
),
kinds AS (
    SELECT jsonb_agg(jsonb_build_array(type, path, theme, first, last) ORDER BY first) AS list
    FROM (
        SELECT type, path, theme, min(place) AS first, max(place) AS last
        FROM facts GROUP BY type, path, theme
    ) AS t
),
typed AS MATERIALIZED (
    SELECT n, type, sum(count)::integer AS count, row_number() OVER (ORDER BY type, n) AS place
    FROM facts GROUP BY n, type
),
base AS (
    SELECT date_trunc('milliseconds', min(started_at)) AS base_at FROM told
)
INSERT INTO visit_blocks
    (day, base_at, visits, visitor_ids, origins, clients, paths, kinds, visitor, started_ms, took_ms,
     entry, exit, origin, client, events, page_views, actions, letters,
     fact_visit, fact_count, fact_seconds, types, type_visit, type_count)
SELECT closed_day, base_at, v.visits,
       (SELECT array_agg(visitor_id ORDER BY visitor_id) FROM (SELECT DISTINCT visitor_id FROM told) AS t),
       (SELECT jsonb_agg(origin::jsonb ORDER BY place) FROM origins),
       (SELECT jsonb_agg(client::jsonb ORDER BY place) FROM clients),
       (SELECT '[null]' || coalesce(jsonb_agg(path ORDER BY place), '[]') FROM paths),
       (SELECT list FROM kinds),
       v.visitor, v.started_ms, v.took_ms, v.entry, v.exit, v.origin, v.client,
       v.events, v.page_views, v.actions, v.letters, f.visit, f.count, f.seconds,
       (SELECT jsonb_agg(jsonb_build_array(type, first, last) ORDER BY first)
        FROM (SELECT type, min(place) AS first, max(place) AS last FROM typed GROUP BY type) AS t),
       t.visit, t.count
FROM (
    SELECT base_at, count(*) AS visits, array_agg(visitor ORDER BY n) AS visitor,
           array_agg((extract(epoch FROM started_at - base_at) * 1000)::integer ORDER BY n) AS started_ms,
           array_agg((extract(epoch FROM last_at - started_at) * 1000)::integer ORDER BY n) AS took_ms,
           array_agg(coalesce(e.place, 0::smallint) ORDER BY n) AS entry,
           array_agg(coalesce(x.place, 0::smallint) ORDER BY n) AS exit,
           array_agg(o.place ORDER BY n) AS origin, array_agg(c.place ORDER BY n) AS client,
           array_agg(events ORDER BY n) AS events, array_agg(page_views ORDER BY n) AS page_views, array_agg(actions ORDER BY n) AS actions,
           array_agg(letters ORDER BY n) AS letters
    FROM base, told
    JOIN origins AS o USING (origin)
    JOIN clients AS c USING (client)
    LEFT JOIN paths AS e ON e.path = told.entry
    LEFT JOIN paths AS x ON x.path = told.exit
    GROUP BY base_at
) AS v, (
    SELECT array_agg(n ORDER BY place) AS visit, array_agg(count ORDER BY place) AS count,
           array_agg(seconds ORDER BY place) AS seconds
    FROM facts
) AS f, (
    SELECT array_agg(n ORDER BY place) AS visit, array_agg(count ORDER BY place) AS count FROM typed
) AS t
RETURNING visits INTO packed;
RETURN coalesce(packed, 0);
END
$$;

-- The visits of local days that match filters (NULL for none), plain and packed. With any of the last
-- three only visits in which something happened that matches all of those, and `events`, `page_views`
-- and `letters` are what did. `visit` tells them apart. Lists are read by functions in SELECT, one
-- value at a time: in FROM they would be stored first.
CREATE FUNCTION visits_between(
    from_day date, to_day date, of_source text, of_browser text, of_os text, of_device text,
    of_path text DEFAULT NULL, of_type text DEFAULT NULL, of_theme text DEFAULT NULL
) RETURNS TABLE (
    visit bigint, day date, visitor_id uuid, started_at timestamptz, last_at timestamptz,
    entry text, exit text, source text, utm_source text, utm_medium text,
    utm_campaign text, browser text, os text, device text, language text, screen text,
    bounced boolean, events integer, page_views integer, actions integer, letters integer
)
LANGUAGE sql STABLE AS $$
    SELECT -v.id, v.day, v.visitor_id, v.started_at, v.last_at, v.entry, v.exit, v.source,
           v.utm_source, v.utm_medium, v.utm_campaign, v.browser, v.os, v.device, v.language, v.screen,
           v.page_views = 1 AND v.actions = 0, chosen.events, chosen.page_views, v.actions, chosen.letters
    FROM visits AS v
    CROSS JOIN LATERAL (
        SELECT v.events, v.page_views, v.letters WHERE coalesce(of_path, of_type, of_theme) IS NULL
        UNION ALL
        SELECT sum(f.count)::integer, sum(CASE f.type WHEN 'page_view' THEN f.count ELSE 0 END)::integer,
               sum(CASE f.type WHEN 'letter_generate' THEN f.count ELSE 0 END)::integer
        FROM unnest(v.types, v.paths, v.themes, v.counts) AS f (type, path, theme, count)
        WHERE coalesce(of_path, of_type, of_theme) IS NOT NULL
          AND (of_type IS NULL OR f.type = of_type) AND (of_path IS NULL OR f.path = of_path)
          AND (of_theme IS NULL OR f.theme = of_theme)
        HAVING count(*) > 0
    ) AS chosen
    WHERE v.day BETWEEN from_day AND to_day
      AND (of_source IS NULL OR v.source = of_source) AND (of_browser IS NULL OR v.browser = of_browser)
      AND (of_os IS NULL OR v.os = of_os) AND (of_device IS NULL OR v.device = of_device)
    UNION ALL
    SELECT p.id * 4096 + n, p.day, b.visitor_ids[b.visitor[n]],
           p.base_at + b.started_ms[n] * interval '1 ms',
           p.base_at + (b.started_ms[n] + b.took_ms[n]) * interval '1 ms',
           b.paths ->> b.entry[n]::integer, b.paths ->> b.exit[n]::integer,
           b.origins -> b.origin[n]::integer ->> 0, b.origins -> b.origin[n]::integer ->> 1,
           b.origins -> b.origin[n]::integer ->> 2, b.origins -> b.origin[n]::integer ->> 3,
           b.clients -> b.client[n]::integer ->> 0, b.clients -> b.client[n]::integer ->> 1,
           b.clients -> b.client[n]::integer ->> 2, b.clients -> b.client[n]::integer ->> 3,
           b.clients -> b.client[n]::integer ->> 4,
           b.page_views[n] = 1 AND b.actions[n] = 0,
           coalesce(chosen.events, b.events[n]), coalesce(chosen.page_views, b.page_views[n]),
           b.actions[n], coalesce(chosen.letters, b.letters[n])
    FROM visit_blocks AS p
    CROSS JOIN LATERAL (
        -- adding nothing to a list unpacks it once and not for each visit; OFFSET keeps it so
        SELECT p.visitor_ids || '{}'::uuid[] AS visitor_ids, p.visitor || '{}'::smallint[] AS visitor,
               p.started_ms || '{}'::integer[] AS started_ms, p.took_ms || '{}'::integer[] AS took_ms,
               p.entry || '{}'::smallint[] AS entry,
               p.fact_visit || '{}'::smallint[] AS fact_visit,
               p.fact_count || '{}'::integer[] AS fact_count,
               p.exit || '{}'::smallint[] AS exit, p.origin || '{}'::smallint[] AS origin,
               p.client || '{}'::smallint[] AS client, p.events || '{}'::integer[] AS events,
               p.page_views || '{}'::integer[] AS page_views,
               p.actions || '{}'::integer[] AS actions, p.letters || '{}'::integer[] AS letters,
               p.paths || '[]' AS paths, p.origins || '[]' AS origins, p.clients || '[]' AS clients,
               -- which places of the lists match
               CASE WHEN of_source IS NOT NULL THEN ARRAY(
                   SELECT o ->> 0 = of_source FROM jsonb_array_elements(p.origins) AS o
               ) END AS origin_fits,
               CASE WHEN coalesce(of_browser, of_os, of_device) IS NOT NULL THEN ARRAY(
                   SELECT (of_browser IS NULL OR c ->> 0 = of_browser)
                      AND (of_os IS NULL OR c ->> 1 = of_os)
                      AND (of_device IS NULL OR c ->> 2 = of_device)
                   FROM jsonb_array_elements(p.clients) AS c
               ) END AS client_fits
        OFFSET 0
    ) AS b
    CROSS JOIN LATERAL (
        SELECT generate_series(1, p.visits) AS n, NULL::integer AS events, NULL::integer AS page_views,
               NULL::integer AS letters
        WHERE coalesce(of_path, of_type, of_theme) IS NULL
        UNION ALL
        SELECT b.fact_visit[i], sum(b.fact_count[i])::integer,
               sum(CASE k.type WHEN 'page_view' THEN b.fact_count[i] ELSE 0 END)::integer,
               sum(CASE k.type WHEN 'letter_generate' THEN b.fact_count[i] ELSE 0 END)::integer
        FROM (
            SELECT k ->> 0 AS type, (k ->> 3)::integer AS first, (k ->> 4)::integer AS last
            FROM jsonb_array_elements(p.kinds) AS k
            WHERE (of_type IS NULL OR k ->> 0 = of_type) AND (of_path IS NULL OR k ->> 1 = of_path)
              AND (of_theme IS NULL OR k ->> 2 = of_theme)
            OFFSET 0
        ) AS k
        CROSS JOIN LATERAL (SELECT generate_series(k.first, k.last) AS i) AS each
        WHERE coalesce(of_path, of_type, of_theme) IS NOT NULL
        GROUP BY 1
    ) AS chosen
    WHERE p.day BETWEEN from_day AND to_day
      AND (of_source IS NULL OR b.origin_fits[b.origin[n] + 1])
      AND (coalesce(of_browser, of_os, of_device) IS NULL OR b.client_fits[b.client[n] + 1])
$$;

-- What happened in these visits and matches more filters: how many events of a type on a path (and
-- of a theme) each visit had.
CREATE FUNCTION facts_between(
    from_day date, to_day date, of_source text, of_browser text, of_os text, of_device text,
    of_path text, of_types text[], of_theme text
) RETURNS TABLE (
    visit bigint, day date, visitor_id uuid, type text, path text, theme text, count integer,
    seconds integer
)
LANGUAGE sql STABLE AS $$
    SELECT -v.id, v.day, v.visitor_id, f.type, f.path, f.theme, f.count, f.seconds
    FROM visits AS v
    CROSS JOIN LATERAL unnest(v.types, v.paths, v.themes, v.counts, v.seconds)
        AS f (type, path, theme, count, seconds)
    WHERE v.day BETWEEN from_day AND to_day
      AND (of_source IS NULL OR v.source = of_source) AND (of_browser IS NULL OR v.browser = of_browser)
      AND (of_os IS NULL OR v.os = of_os) AND (of_device IS NULL OR v.device = of_device)
      AND (of_path IS NULL OR f.path = of_path) AND (of_types IS NULL OR f.type = ANY(of_types))
      AND (of_theme IS NULL OR f.theme = of_theme)
    UNION ALL
    SELECT p.id * 4096 + b.fact_visit[i], p.day, b.visitor_ids[b.visitor[b.fact_visit[i]]], k.type,
           k.path, k.theme, b.fact_count[i], b.fact_seconds[i]
    FROM visit_blocks AS p
    CROSS JOIN LATERAL (
        SELECT p.visitor_ids || '{}'::uuid[] AS visitor_ids, p.visitor || '{}'::smallint[] AS visitor,
               p.fact_visit || '{}'::smallint[] AS fact_visit,
               p.fact_count || '{}'::integer[] AS fact_count,
               p.fact_seconds || '{}'::integer[] AS fact_seconds,
               p.origin || '{}'::smallint[] AS origin, p.client || '{}'::smallint[] AS client,
               -- which places of the lists match
               CASE WHEN of_source IS NOT NULL THEN ARRAY(
                   SELECT o ->> 0 = of_source FROM jsonb_array_elements(p.origins) AS o
               ) END AS origin_fits,
               CASE WHEN coalesce(of_browser, of_os, of_device) IS NOT NULL THEN ARRAY(
                   SELECT (of_browser IS NULL OR c ->> 0 = of_browser)
                      AND (of_os IS NULL OR c ->> 1 = of_os)
                      AND (of_device IS NULL OR c ->> 2 = of_device)
                   FROM jsonb_array_elements(p.clients) AS c
               ) END AS client_fits
        OFFSET 0
    ) AS b
    CROSS JOIN LATERAL (
        SELECT k ->> 0 AS type, k ->> 1 AS path, k ->> 2 AS theme, (k ->> 3)::integer AS first,
               (k ->> 4)::integer AS last
        FROM jsonb_array_elements(p.kinds) AS k
        WHERE (of_types IS NULL OR k ->> 0 = ANY(of_types)) AND (of_path IS NULL OR k ->> 1 = of_path)
          AND (of_theme IS NULL OR k ->> 2 = of_theme)
        OFFSET 0
    ) AS k
    CROSS JOIN LATERAL (SELECT generate_series(k.first, k.last) AS i) AS each
    WHERE p.day BETWEEN from_day AND to_day
      AND (of_source IS NULL OR b.origin_fits[b.origin[b.fact_visit[i]] + 1])
      AND (coalesce(of_browser, of_os, of_device) IS NULL OR b.client_fits[b.client[b.fact_visit[i]] + 1])
$$;

-- How many events of each type these visits had.
CREATE FUNCTION types_between(
    from_day date, to_day date, of_source text, of_browser text, of_os text, of_device text
) RETURNS TABLE (visitor_id uuid, type text, count integer)
LANGUAGE sql STABLE AS $$
    SELECT v.visitor_id, f.type, f.count
    FROM visits AS v
    CROSS JOIN LATERAL unnest(v.types, v.counts) AS f (type, count)
    WHERE v.day BETWEEN from_day AND to_day
      AND (of_source IS NULL OR v.source = of_source) AND (of_browser IS NULL OR v.browser = of_browser)
      AND (of_os IS NULL OR v.os = of_os) AND (of_device IS NULL OR v.device = of_device)
    UNION ALL
    SELECT b.visitor_ids[b.visitor[b.type_visit[i]]], k.type, b.type_count[i]
    FROM visit_blocks AS p
    CROSS JOIN LATERAL (
        SELECT p.visitor_ids || '{}'::uuid[] AS visitor_ids, p.visitor || '{}'::smallint[] AS visitor,
               p.type_visit || '{}'::smallint[] AS type_visit,
               p.type_count || '{}'::integer[] AS type_count,
               p.origin || '{}'::smallint[] AS origin, p.client || '{}'::smallint[] AS client,
               -- which places of the lists match
               CASE WHEN of_source IS NOT NULL THEN ARRAY(
                   SELECT o ->> 0 = of_source FROM jsonb_array_elements(p.origins) AS o
               ) END AS origin_fits,
               CASE WHEN coalesce(of_browser, of_os, of_device) IS NOT NULL THEN ARRAY(
                   SELECT (of_browser IS NULL OR c ->> 0 = of_browser)
                      AND (of_os IS NULL OR c ->> 1 = of_os)
                      AND (of_device IS NULL OR c ->> 2 = of_device)
                   FROM jsonb_array_elements(p.clients) AS c
               ) END AS client_fits
        OFFSET 0
    ) AS b
    CROSS JOIN LATERAL (
        SELECT k ->> 0 AS type, (k ->> 1)::integer AS first, (k ->> 2)::integer AS last
        FROM jsonb_array_elements(p.types) AS k
        OFFSET 0
    ) AS k
    CROSS JOIN LATERAL (SELECT generate_series(k.first, k.last) AS i) AS each
    WHERE p.day BETWEEN from_day AND to_day
      AND (of_source IS NULL OR b.origin_fits[b.origin[b.type_visit[i]] + 1])
      AND (coalesce(of_browser, of_os, of_device) IS NULL OR b.client_fits[b.client[b.type_visit[i]] + 1])
$$;

-- Count a visitor, all of whose visits are rows, among the unique visitors of no day and value any more.
CREATE FUNCTION uncount_visitor(who uuid) RETURNS void
LANGUAGE sql AS $$
    WITH had AS (
        SELECT DISTINCT v.day, d.dimension, coalesce(r.value, '(other)') AS value
        FROM visits AS v
        CROSS JOIN LATERAL (
            VALUES ('all', ''), ('source', v.source), ('utm_source', v.utm_source),
                   ('utm_medium', v.utm_medium), ('utm_campaign', v.utm_campaign), ('browser', v.browser),
                   ('os', v.os), ('device', v.device), ('language', v.language), ('screen', v.screen)
            UNION ALL
            SELECT 'event_type', type FROM unnest(v.types) AS type
            UNION ALL
            SELECT 'path', f.path FROM unnest(v.types, v.paths) AS f (type, path)
            WHERE f.type = 'page_view' AND f.path <> ''
            UNION ALL
            SELECT 'theme', theme FROM unnest(v.themes) AS theme
        ) AS d (dimension, value)
        LEFT JOIN rollup_values AS r ON r.day = v.day AND r.dimension = d.dimension AND r.value = d.value
        WHERE v.visitor_id = who AND d.value IS NOT NULL
    ),
    counted AS (
        SELECT day, dimension, value,
               coalesce(day - lag(day) OVER (PARTITION BY dimension, value ORDER BY day), 32) AS gap
        FROM had
    )
    UPDATE rollup_values AS r
    SET visitors = ARRAY(
        SELECT CASE WHEN k <= c.gap THEN greatest(u.visitors - 1, 0) ELSE u.visitors END
        FROM unnest(r.visitors) WITH ORDINALITY AS u (visitors, k) ORDER BY k)
    FROM counted AS c
    WHERE r.day = c.day AND r.dimension = c.dimension AND r.value = c.value
$$;

-- Put the visits of a block back as rows, to be packed again another night.
CREATE FUNCTION unpack_visits(block bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    block_day date := (SELECT b.day FROM visit_blocks AS b WHERE b.id = block);
BEGIN
INSERT INTO visits
    (id, visitor_id, day, started_at, last_at, entry, exit, source, utm_source, utm_medium,
     utm_campaign, browser, os, device, language, screen, events, page_views, actions, letters,
     types, paths, themes, counts, seconds)
SELECT nextval('visit_ids'), v.visitor_id, v.day, v.started_at, v.last_at, v.entry, v.exit,
       v.source, v.utm_source, v.utm_medium, v.utm_campaign, v.browser, v.os, v.device, v.language,
       v.screen, v.events, v.page_views, v.actions, v.letters, f.types, f.paths, f.themes, f.counts, f.seconds
FROM visits_between(block_day, block_day, NULL, NULL, NULL, NULL) AS v
JOIN (
    SELECT visit, array_agg(type) AS types, array_agg(path) AS paths, array_agg(theme) AS themes,
           array_agg(count) AS counts, array_agg(seconds) AS seconds
    FROM facts_between(block_day, block_day, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
    GROUP BY visit
) AS f ON f.visit = v.visit
WHERE v.visit / 4096 = block;
DELETE FROM visit_blocks WHERE id = block;
END
$$;

-- How wide the viewport was in which something happened, where it was told: pages look different in
-- a narrow one.
ALTER TABLE event_places ADD COLUMN width integer;
DROP INDEX idx_event_places_place;
CREATE INDEX idx_event_places_place ON event_places (x, y, created_at) INCLUDE (path, rest, width);

-- What was stored before there were visits is brought into them minute by minute.
INSERT INTO unfolded_events (first_at, last_at, events)
SELECT min(created_at), max(created_at), count(*)
FROM events
GROUP BY date_trunc('minute', created_at)
ORDER BY min(created_at);
