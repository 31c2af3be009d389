# How the programs in Ruby end, of both protocols: their scenarios in order, a line of JSON for each. The rules are in common.py.
require 'json'

# The block makes the connection that scenarios share; behind one that failed it is made anew.
def run_scenarios(scenarios)
  connection = nil
  (ARGV.empty? ? scenarios.keys : ARGV.map(&:to_sym)).each do |name|
    line = { scenario: name }
    begin
      connection ||= yield
      line[:result] = scenarios[name].call(connection)
    rescue StandardError => e
      warn "#{name}: #{e.full_message}"
      line[:error] = "#{e.class}: #{e.message}"
      connection&.close
      connection = nil
    end
    puts JSON.generate(line)
    $stdout.flush
  end
  connection&.close
end
