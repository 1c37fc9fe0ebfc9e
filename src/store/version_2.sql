UPDATE agent
SET body = json_set(body, '$.protected', json((
    SELECT json_group_object(key, json_object('uuid', 0, 'protection', value)) FROM json_each(body, '$.protected')
)));
