-- name: select_breakdown
-- The values of the dimension $1 on the days $2 to $3: those of at least $4 visitors, the others as
-- one, most visitors first; of these $5 after skipping $6, or only those named in $7. Visitors are
-- exact for each value.
WITH sums AS (
    SELECT value, sum(visitors[least(day - $2::date + 1, 32)]) AS visitors, sum(visits) AS visits,
           sum(bounces) AS bounces, sum(seconds) AS seconds, sum(events) AS events,
           sum(views) AS views, sum(entries) AS entries, sum(exits) AS exits
    FROM rollup_values
    WHERE dimension = $1 AND day BETWEEN $2 AND $3 AND ($7::text[] IS NULL OR value = ANY($7))
    GROUP BY value
    HAVING sum(visitors[1]) > 0
)
SELECT CASE WHEN visitors < $4 THEN '(other)' ELSE value END AS name,
       sum(visitors)::bigint AS visitors, sum(visits)::bigint AS visits,
       sum(bounces)::bigint AS bounces, sum(seconds)::bigint AS seconds,
       sum(events)::bigint AS events, sum(views)::bigint AS views,
       sum(entries)::bigint AS entries, sum(exits)::bigint AS exits
FROM sums
GROUP BY 1
ORDER BY CASE WHEN visitors < $4 THEN '(other)' ELSE value END = '(other)', 2 DESC, 1
LIMIT $5 OFFSET $6;

-- name: select_filtered_visits
-- The same of a dimension of visits, for those that match filters ($8 to $15: source, browser, os,
-- device, path, event type, theme, profile; NULL for none).
WITH kept AS (
    SELECT CASE $1
               WHEN 'source' THEN source WHEN 'utm_source' THEN utm_source
               WHEN 'utm_medium' THEN utm_medium WHEN 'utm_campaign' THEN utm_campaign
               WHEN 'browser' THEN browser WHEN 'os' THEN os WHEN 'device' THEN device
               WHEN 'language' THEN language WHEN 'screen' THEN screen
           END AS value,
           visitor_id, bounced,
           extract(epoch FROM last_at - started_at)::integer AS seconds
    FROM visits_between($2, $3, $8, $9, $10, $11, $12, $13, $14)
    WHERE $15::text IS NULL OR EXISTS (
        SELECT FROM visitors AS w WHERE w.id = visitor_id AND w.profile_detected = $15)
),
sums AS (
    SELECT value, count(*) AS visitors, sum(visits) AS visits, sum(bounces) AS bounces,
           sum(seconds) AS seconds
    FROM (
        SELECT value, visitor_id, count(*) AS visits, count(*) FILTER (WHERE bounced) AS bounces,
               sum(seconds) AS seconds
        FROM kept
        WHERE value IS NOT NULL AND ($7::text[] IS NULL OR value = ANY($7))
        GROUP BY value, visitor_id
        OFFSET 0
    ) AS each
    GROUP BY value
)
SELECT CASE WHEN visitors < $4 THEN '(other)' ELSE value END AS name,
       sum(visitors)::bigint AS visitors, sum(visits)::bigint AS visits,
       sum(bounces)::bigint AS bounces, sum(seconds)::bigint AS seconds
FROM sums
GROUP BY 1
ORDER BY CASE WHEN visitors < $4 THEN '(other)' ELSE value END = '(other)', 2 DESC, 1
LIMIT $5 OFFSET $6;

-- name: select_filtered_types
-- The same of the types of events, where no filter is on events ($8 to $11 and the profile $12).
WITH sums AS (
    SELECT value, count(*) AS visitors, sum(events) AS events
    FROM (
        SELECT type AS value, visitor_id, sum(count) AS events
        FROM types_between($2, $3, $8, $9, $10, $11)
        WHERE $1::text = 'event_type' AND ($12::text IS NULL OR EXISTS (
                  SELECT FROM visitors AS w WHERE w.id = visitor_id AND w.profile_detected = $12))
        GROUP BY 1, 2
        OFFSET 0
    ) AS each
    WHERE $7::text[] IS NULL OR value = ANY($7)
    GROUP BY value
)
SELECT CASE WHEN visitors < $4 THEN '(other)' ELSE value END AS name,
       sum(visitors)::bigint AS visitors, sum(events)::bigint AS events
FROM sums
GROUP BY 1
ORDER BY CASE WHEN visitors < $4 THEN '(other)' ELSE value END = '(other)', 2 DESC, 1
LIMIT $5 OFFSET $6;

-- name: select_filtered_facts
-- The same of a dimension of events: `event_type`, `theme`.
WITH sums AS (
    SELECT value, count(*) AS visitors, sum(events) AS events
    FROM (
        SELECT CASE $1 WHEN 'event_type' THEN type ELSE theme END AS value, visitor_id,
               sum(count) AS events
        FROM facts_between($2, $3, $8, $9, $10, $11, $12, CASE WHEN $13::text IS NOT NULL THEN ARRAY[$13] END, $14)
        WHERE ($1 <> 'theme' OR theme IS NOT NULL)
          AND ($15::text IS NULL OR EXISTS (
                  SELECT FROM visitors AS w WHERE w.id = visitor_id AND w.profile_detected = $15))
        GROUP BY 1, 2
        OFFSET 0
    ) AS each
    WHERE $7::text[] IS NULL OR value = ANY($7)
    GROUP BY value
)
SELECT CASE WHEN visitors < $4 THEN '(other)' ELSE value END AS name,
       sum(visitors)::bigint AS visitors, sum(events)::bigint AS events,
       sum(events)::bigint AS views
FROM sums
GROUP BY 1
ORDER BY CASE WHEN visitors < $4 THEN '(other)' ELSE value END = '(other)', 2 DESC, 1
LIMIT $5 OFFSET $6;

-- name: select_filtered_pages
-- The same of pages: views, or the events of the type that is asked for, attention, and of the visits
-- that match how many began and ended there.
WITH facts AS (
    SELECT path, visitor_id, seconds,
           CASE WHEN type = coalesce($13::text, 'page_view') THEN count ELSE 0 END AS views
    FROM facts_between($2, $3, $8, $9, $10, $11, $12, CASE WHEN $13::text IS NULL
             THEN ARRAY['page_view', 'page_leave'] ELSE ARRAY[$13] END, $14)
    WHERE $1::text = 'path'
),
on_pages AS (
    SELECT path AS value, count(*) FILTER (WHERE views > 0) AS visitors, sum(views) AS views,
           sum(seconds) AS seconds
    FROM (
        SELECT path, visitor_id, sum(views) AS views, sum(seconds) AS seconds
        FROM facts
        WHERE path <> '' AND ($7::text[] IS NULL OR path = ANY($7))
          AND ($15::text IS NULL OR EXISTS (
                  SELECT FROM visitors AS w WHERE w.id = visitor_id AND w.profile_detected = $15))
        GROUP BY path, visitor_id
        OFFSET 0
    ) AS each
    GROUP BY path
),
kept AS MATERIALIZED (
    SELECT entry, exit, bounced
    FROM visits_between($2, $3, $8, $9, $10, $11, $12, $13, $14)
    WHERE $15::text IS NULL OR EXISTS (
        SELECT FROM visitors AS w WHERE w.id = visitor_id AND w.profile_detected = $15)
),
began AS (
    SELECT entry AS value, count(*) AS entries, count(*) FILTER (WHERE bounced) AS bounces
    FROM kept GROUP BY entry
),
ended AS (
    SELECT exit AS value, count(*) AS exits FROM kept GROUP BY exit
),
sums AS (
    SELECT value, visitors, views, seconds, coalesce(entries, 0) AS entries,
           coalesce(bounces, 0) AS bounces, coalesce(exits, 0) AS exits
    FROM on_pages
    LEFT JOIN began USING (value)
    LEFT JOIN ended USING (value)
    WHERE visitors > 0
)
SELECT CASE WHEN visitors < $4 THEN '(other)' ELSE value END AS name,
       sum(visitors)::bigint AS visitors, sum(views)::bigint AS views,
       sum(seconds)::bigint AS seconds, sum(entries)::bigint AS entries,
       sum(bounces)::bigint AS bounces, sum(exits)::bigint AS exits
FROM sums
GROUP BY 1
ORDER BY CASE WHEN visitors < $4 THEN '(other)' ELSE value END = '(other)', 2 DESC, 1
LIMIT $5 OFFSET $6;
