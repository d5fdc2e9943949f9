-- name: fill_visitors_of_a_day
-- $2 visitors who were there on the day that begins at $1 only.
INSERT INTO visitors (id, ip_hash, browser, os, device, language, first_visit, last_visit)
SELECT md5($1::timestamptz || ':' || n)::uuid, '', 'Chrome', 'Linux', 'desktop', 'fr', $1, $1 + interval '1 day'
FROM generate_series(0, $2::integer - 1) AS n
ON CONFLICT DO NOTHING;

-- name: fill_day
-- $2 events on the day that begins at $1, of $3 visitors, five in each visit.
INSERT INTO analytics_events
    (id, visitor_id, event_type, event_data, page_url, referrer, created_at, updated_at)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
           || lpad(to_hex(n & 4095), 3, '0') || '9123456789abcdef')::uuid,
       md5($1::timestamptz || ':' || (n / 5 * 7919) % $3::integer)::uuid,
       CASE n % 10 WHEN 0 THEN 'cv_theme_change' WHEN 1 THEN 'letter_generate'
           WHEN 2 THEN 'button_click' WHEN 3 THEN 'button_click' ELSE 'page_view' END,
       CASE n % 10 WHEN 0 THEN jsonb_build_object('theme', 'theme' || n / 10 % 7)
           WHEN 1 THEN '{"letter_type": "motivation"}'
           WHEN 2 THEN jsonb_build_object('x', n * 31 % 1900, 'y', n * 17 % 4000, 'viewport', '1920x1080')
           WHEN 3 THEN jsonb_build_object('x', n * 37 % 1900, 'y', n * 13 % 4000, 'viewport', '390x844')
           ELSE jsonb_build_object('path', '/projects/' || n * 7 % 40) END,
       '/projects/' || n * 7 % 40,
       CASE WHEN n % 3 = 0 THEN 'https://news.example/' || n % 30 END,
       at, at
FROM generate_series(0, $2::integer - 1) AS n
CROSS JOIN LATERAL (
    SELECT $1::timestamptz + (n * 86400000.0 / $2::integer + n * 7 % 700)::integer * interval '1 ms'
) AS t (at)
WHERE at < $1 + interval '1 day';
