-- name: select_summary
-- The totals of the days $1 to $2, and the median of how long visits took in whole seconds.
WITH durations AS (
    SELECT seconds, sum(visits) OVER (ORDER BY seconds) AS until, sum(visits) OVER () AS total
    FROM (
        SELECT seconds, sum(visits) AS visits FROM rollup_durations WHERE day BETWEEN $1 AND $2
        GROUP BY seconds
    ) AS d
)
SELECT coalesce(sum(visitors[least(day - $1::date + 1, 32)]), 0)::bigint AS visitors,
       coalesce(sum(visitors[32]), 0)::bigint AS new_visitors,
       coalesce(sum(visits), 0)::bigint AS visits, coalesce(sum(bounces), 0)::bigint AS bounces,
       coalesce(sum(seconds), 0)::bigint AS seconds, coalesce(sum(events), 0)::bigint AS events,
       coalesce(sum(views), 0)::bigint AS page_views, coalesce(sum(letters), 0)::bigint AS letters,
       (SELECT min(seconds) FROM durations WHERE until * 2 >= total) AS median_seconds
FROM rollup_values
WHERE dimension = 'all' AND day BETWEEN $1 AND $2;

-- name: select_filtered_summary
-- The same of the visits and events that match filters ($3 to $10: source, browser, os, device, path,
-- event type, theme, profile; NULL for none). Who had not been here before $11, when the days began, is
-- new. With $12 it is of one day, and what was said of it when it was $12: from the events until then.
WITH happened AS (
    SELECT v.visit, v.visitor_id, e.created_at, e.event_type,
           ($7::text IS NULL OR event_path(e.page_url) = $7) AND ($8::text IS NULL OR e.event_type = $8)
               AND ($9::text IS NULL
                    OR event_theme(e.event_type, e.event_data, e.page_url) = $9) AS fits
    FROM events AS e
    JOIN visits_between($1, $2, $3, $4, $5, $6) AS v
        ON v.visitor_id = e.visitor_id AND e.created_at BETWEEN v.started_at AND v.last_at
    WHERE e.created_at >= $11 AND e.created_at < $12::timestamptz
      AND e.block_to >= $11 AND e.block_from < $12
),
matching AS (
    SELECT visitor_id, events, page_views, letters, bounced,
           extract(epoch FROM last_at - started_at)::integer AS seconds
    FROM visits_between($1, $2, $3, $4, $5, $6, $7, $8, $9)
    WHERE $12 IS NULL
    UNION ALL
    SELECT visitor_id, (count(*) FILTER (WHERE fits))::integer,
           (count(*) FILTER (WHERE fits AND event_type = 'page_view'))::integer,
           (count(*) FILTER (WHERE fits AND event_type = 'letter_generate'))::integer,
           count(*) FILTER (WHERE event_type = 'page_view') = 1
               AND count(*) FILTER (WHERE event_type NOT IN ('page_view', 'page_leave', 'click')) = 0,
           extract(epoch FROM max(created_at) - min(created_at))::integer
    FROM happened
    WHERE $12 IS NOT NULL
    GROUP BY visit, visitor_id
    HAVING bool_or(fits)
),
kept AS MATERIALIZED (
    SELECT * FROM matching
    WHERE $10::text IS NULL OR EXISTS (
        SELECT FROM visitors AS w WHERE w.id = visitor_id AND w.profile_detected = $10)
),
came AS (
    SELECT visitor_id, count(*) AS visits, count(*) FILTER (WHERE bounced) AS bounces,
           sum(seconds) AS seconds, sum(events) AS events, sum(page_views) AS page_views,
           sum(letters) AS letters
    FROM kept GROUP BY visitor_id
)
SELECT count(*) AS visitors, count(*) FILTER (WHERE w.first_visit >= $11) AS new_visitors,
       coalesce(sum(visits), 0)::bigint AS visits, coalesce(sum(bounces), 0)::bigint AS bounces,
       coalesce(sum(seconds), 0)::bigint AS seconds, coalesce(sum(events), 0)::bigint AS events,
       coalesce(sum(page_views), 0)::bigint AS page_views, coalesce(sum(letters), 0)::bigint AS letters,
       (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY seconds) FROM kept) AS median_seconds
FROM came
LEFT JOIN visitors AS w ON w.id = came.visitor_id;

-- name: select_days_for_export
-- The numbers of every day from $1 to $2.
SELECT d.day::date AS day, coalesce(r.visitors[1], 0) AS visitors,
       coalesce(r.visitors[32], 0) AS new_visitors, coalesce(r.visits, 0) AS visits,
       coalesce(r.bounces, 0) AS bounces, coalesce(r.views, 0) AS page_views,
       coalesce(r.events, 0) AS events, coalesce(r.letters, 0) AS letters
FROM generate_series($1::date::timestamp, $2::date::timestamp, interval '1 day') AS d (day)
LEFT JOIN rollup_values AS r ON r.dimension = 'all' AND r.value = '' AND r.day = d.day::date
ORDER BY 1;
