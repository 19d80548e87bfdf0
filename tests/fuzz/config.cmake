qlm_fuzz(yaml_config SOURCE yaml_config.cpp USES runtime/config)
