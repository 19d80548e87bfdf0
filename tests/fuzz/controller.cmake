qlm_fuzz(controller SOURCE controller.cpp naive_controller.cpp naive_instances.cpp USES core/controller)
