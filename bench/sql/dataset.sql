-- name: make_random
-- A number from 0 to 1 that depends on a number and a salt only, so that a seed gives the same data.
CREATE FUNCTION pg_temp.random_of(number bigint, salt bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (hashint8extended(number, salt) & 9007199254740991) / 9007199254740992.0::double precision;

-- name: make_pages
-- Forty paths of a site, some with variants of their query; three dozen referrers; hot spots.
CREATE TEMP TABLE words AS
SELECT
    ARRAY['/', '/cv', '/letters', '/about', '/contact'] || ARRAY(
        SELECT '/projects/' || name || '-' || n
        FROM unnest(ARRAY['atlas', 'beacon', 'cinder', 'delta', 'ember']) AS name,
             generate_series(1, 7) AS n) AS paths,
    ARRAY['backend', 'frontend', 'data', 'devops', 'security', 'product', 'research', 'cloud']
        AS themes,
    ARRAY(SELECT 'https://' || host || '.example/' || place
          FROM unnest(ARRAY['search', 'news', 'social', 'jobs', 'forum', 'blog']) AS host,
               unnest(ARRAY['', 'a', 'links', 'posts/12', 'r/cv', 'top']) AS place) AS referrers,
    ARRAY['1920x1080', '1440x900', '1366x768', '412x915', '390x844', '2560x1440'] AS viewports,
    ARRAY[1, 1, 2, 3, 3, 4, 5, 6, 8, 17] AS visit_lengths,
    ARRAY(SELECT '8' || substr(md5('process ' || n), 1, 15) FROM generate_series(1, 4) AS n)
        AS processes;

-- name: fill_window
-- The events of the visits $1 to $2, which all end in the 24 hours before $3. Of $4 visitors each
-- one comes for the first time in their turn, and those who came lately come again most often; $5 is
-- the number of visits for each new visitor and $6 the seed. Ten visits have fifty events.
INSERT INTO analytics_events
    (id, visitor_id, event_type, event_data, page_url, referrer, session_duration,
     created_at, updated_at)
SELECT
    (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
        || lpad(to_hex(number & 4095), 3, '0') || w.processes[1 + visit % 4])::uuid,
    overlay(overlay(md5($6 || ':' || visitor) PLACING '4' FROM 13) PLACING '8' FROM 17)::uuid,
    event_type,
    CASE event_type
        WHEN 'page_view' THEN
            CASE WHEN page = '/cv' AND theme IS NOT NULL
                THEN jsonb_build_object('path', page, 'theme', theme)
                ELSE jsonb_build_object('path', page) END
        WHEN 'button_click' THEN
            jsonb_build_object('x', x, 'y', y, 'viewport', w.viewports[1 + visitor % 6])
        WHEN 'cv_theme_change' THEN
            jsonb_build_object('theme', w.themes[1 + floor(8 * c * c)::integer])
        WHEN 'letter_generate' THEN
            jsonb_build_object('letter_type',
                CASE WHEN c < 0.8 THEN 'motivation' ELSE 'anti_motivation' END)
        WHEN 'link_click' THEN jsonb_build_object('href', w.paths[1 + floor(40 * c)::integer])
        WHEN 'scroll_depth' THEN jsonb_build_object('percent', 25 * (1 + floor(4 * c)))
    END,
    page || CASE
        WHEN page = '/cv' AND theme IS NOT NULL THEN '?theme=' || theme
        WHEN page <> '/cv' AND d < 0.08 THEN '?utm_source=' || (ARRAY['mail', 'feed', 'ad'])[1 + visit % 3]
        ELSE '' END,
    CASE WHEN position > 0 AND d < 0.3 THEN 'https://cv.example' || w.paths[1 + visit % 40]
         WHEN position = 0 AND d < 0.5 THEN w.referrers[1 + floor(72 * d)::integer] END,
    (position * gap)::integer,
    at,
    at
FROM words AS w
CROSS JOIN LATERAL (
    SELECT visit, number, visitor, position, gap, at, c, d,
        w.paths[1 + floor(40 * b * b * b)::integer] AS page,
        CASE WHEN d < 0.5 THEN w.themes[1 + floor(16 * d)::integer] END AS theme,
        CASE WHEN a < 0.55 THEN 'page_view' WHEN a < 0.75 THEN 'button_click'
             WHEN a < 0.83 THEN 'cv_theme_change' WHEN a < 0.86 THEN 'letter_generate'
             WHEN a < 0.93 THEN 'link_click' WHEN a < 0.95 THEN 'form_submit'
             WHEN a < 0.97 THEN 'pdf_download' ELSE 'scroll_depth' END AS event_type,
        -- half of the clicks are near one of forty buttons, the others anywhere
        floor(CASE WHEN a < 0.65 THEN 1900 * c
              ELSE 40 * floor(40 * d) + 60 * pg_temp.random_of(number, $6 + 1) END) AS x,
        floor(CASE WHEN a < 0.65 THEN 4000 * d
              ELSE 90 * floor(40 * d) + 30 * pg_temp.random_of(number, $6 + 2) END) AS y
    FROM (
        SELECT visit, visitor, position, gap, visit * 32 + position AS number,
            date_trunc('milliseconds', ends_at - make_interval(secs =>
                gap * (length - 1 - position + 0.9 * pg_temp.random_of(visit * 32 + position, $6 + 3)))) AS at,
            pg_temp.random_of(visit * 32 + position, $6 + 4) AS a,
            pg_temp.random_of(visit * 32 + position, $6 + 5) AS b,
            pg_temp.random_of(visit * 32 + position, $6 + 6) AS c,
            pg_temp.random_of(visit * 32 + position, $6 + 7) AS d
        FROM (
            SELECT visit, length, visitor, gap,
                midnight + hour * interval '1 hour'
                    - CASE WHEN midnight + hour * interval '1 hour' > $3::timestamptz
                        THEN interval '1 day' ELSE interval '0' END AS ends_at
            FROM (
                SELECT visit,
                    w.visit_lengths[1 + visit % 10] AS length,
                    CASE WHEN visit % $5 = 0 OR visit / $5 = 0 THEN least(visit / $5, $4 - 1)
                        ELSE floor(least(visit / $5, $4 - 1)
                            * (1 - pg_temp.random_of(visit, $6 + 8) ^ 3))::bigint END AS visitor,
                    5 + 40 * pg_temp.random_of(visit, $6 + 9) AS gap,
                    date_trunc('day', $3::timestamptz) AS midnight,
                    -- most at about two in the afternoon, some at any time
                    24 * CASE WHEN pg_temp.random_of(visit, $6 + 10) < 0.3
                        THEN pg_temp.random_of(visit, $6 + 11)
                        ELSE ((pg_temp.random_of(visit, $6 + 11) + pg_temp.random_of(visit, $6 + 12)
                            + pg_temp.random_of(visit, $6 + 13)) / 3 + 0.1)::numeric % 1 END AS hour
                FROM generate_series($1::bigint, $2::bigint) AS visit
            ) AS visits
        ) AS placed
        CROSS JOIN LATERAL generate_series(0, length - 1) AS position
    ) AS drawn
) AS events
ORDER BY at
-- two windows may give the same id to the same millisecond, about once in ten million
ON CONFLICT DO NOTHING;

-- name: fill_visitors
-- The visitors of all events.
INSERT INTO visitors
    (id, ip_hash, browser, os, device, language, visit_count, first_visit, last_visit)
SELECT visitor_id,
    encode(sha256(visitor_id::text::bytea), 'hex'),
    (ARRAY['Chrome', 'Firefox', 'Safari', 'Edge'])[1 + n % 4],
    (ARRAY['Windows', 'macOS', 'Linux', 'Android', 'iOS'])[1 + n % 5],
    (ARRAY['desktop', 'mobile', 'tablet'])[1 + n % 3],
    (ARRAY['en', 'fr', 'de', 'es'])[1 + n / 4 % 4],
    greatest(1, events / 5), first_visit, last_visit
FROM (
    SELECT visitor_id, abs(hashtext(visitor_id::text)) % 1000 AS n, count(*) AS events,
        min(created_at) AS first_visit, max(created_at) AS last_visit
    FROM analytics_events GROUP BY 1
) AS seen;

-- name: count_by_day
-- What the rollups are made of.
CREATE TEMP TABLE counted AS
SELECT created_at::date AS day, event_type, event_data ->> 'letter_type' AS letter_type,
    CASE WHEN event_type IN ('cv_theme_change', 'page_view') THEN event_data ->> 'theme' END
        AS theme,
    count(*) AS events
FROM analytics_events GROUP BY 1, 2, 3, 4;

-- name: fill_rollup_events
-- Events by type.
INSERT INTO rollup_events SELECT day, event_type, sum(events) FROM counted GROUP BY 1, 2;

-- name: fill_rollup_letters
-- Letters by kind.
INSERT INTO rollup_letters SELECT day, letter_type, sum(events) FROM counted
WHERE letter_type IS NOT NULL GROUP BY 1, 2;

-- name: fill_rollup_themes
-- Theme views by day.
INSERT INTO rollup_themes SELECT day, theme, sum(events) FROM counted
WHERE theme IS NOT NULL GROUP BY 1, 2;

-- name: fill_theme_totals
-- Theme views.
INSERT INTO theme_totals SELECT theme, sum(events) FROM counted WHERE theme IS NOT NULL GROUP BY 1;

-- name: fill_rollup_periods
-- The totals that Redis mirrors.
INSERT INTO rollup_periods
SELECT period, date_trunc(period, day::timestamp)::date, sum(events),
    coalesce(sum(events) FILTER (WHERE letter_type IS NOT NULL), 0)
FROM counted CROSS JOIN (VALUES ('day'), ('week'), ('month')) AS p (period)
GROUP BY 1, 2;

-- name: fill_places
-- Where the events of the last eight days happened.
INSERT INTO event_places (created_at, visitor_id, x, y, path, rest)
SELECT created_at, visitor_id, event_coordinate(event_data -> 'x'),
    event_coordinate(event_data -> 'y'), path, substr(page_url, length(path) + 1)
FROM (
    SELECT *, split_part(page_url, '?', 1) AS path FROM analytics_events
    WHERE event_data ? 'x' AND created_at >= $1::timestamptz - interval '8 days'
) AS clicks
ORDER BY created_at;

-- name: note_events
-- That visits and rollups are to be made of all of them.
INSERT INTO unfolded_events (first_at, last_at, events)
SELECT min(created_at), max(created_at), count(*)
FROM analytics_events GROUP BY date_trunc('minute', created_at) ORDER BY 1;
