qlm_fuzz(http_heads SOURCE http_heads.cpp USES protocol/http)
qlm_fuzz(http_chunked SOURCE http_chunked.cpp USES protocol/http)
qlm_fuzz(http_sse SOURCE http_sse.cpp USES protocol/http)
