if(TARGET qlm_protocol_engines)
  qlm_fuzz(metrics_text SOURCE metrics_text.cpp USES base protocol/http protocol/engines)
  qlm_fuzz(engine_stream SOURCE engine_stream.cpp USES base protocol/http protocol/engines)
endif()
